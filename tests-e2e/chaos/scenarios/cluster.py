"""Three broker nodes: the leader dies, a follower dies, the leader is cut off from the others.

Each is watched by a probe that publishes all the time: what was confirmed to it must be there in the end, and confirms
must flow again within `CONFIRMS_WITHIN` of the leader's death, with the dead node still away.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from e2e import broker, evidence
from e2e.clients import http_client, submit
from e2e.documents import small_pdf
from e2e.eventually import eventually

from chaos.cluster import ClusterNode, ConfirmProbe
from chaos.fault_proxy import ACK, Trap
from chaos.members import BROKERS
from chaos.run import Run, VoidRunError, scenario
from chaos.scenarios.seen import unfinished
from deploy.local.waiting import accepts_connections

CONFIRMS_WITHIN = 2.0
CUT_OFF_WITHIN = 10.0
"""What the nodes need to notice that one of them is silent (net_ticktime)."""
_WORK_QUEUE = "assignment.leads"
_CLIENTS = 3
_PAUSE_S = 0.2
_AWAY_S = 5.0
"""How long confirms must have flowed again before the node is let back."""


@scenario("C01", clustered=True)
async def the_leader_dies(run: Run) -> None:
    """Leader of the queues killed -9 under load: nothing confirmed is lost, confirms flow again within 2 s."""
    victim = run.arena.cluster.named((await _led(run))["leader"])
    async with _probed(run, victim) as probe, _steady_load(run):
        await _flowing(run, probe)
        died, relayed = await _killed(run, victim)
        await _confirms_again(run, probe, died, relayed)
        run.check(run.figures["confirms_s"] < CONFIRMS_WITHIN, f"no confirm for {run.figures['confirms_s']} s")
    await run.reached()  # with the node still away
    await run.arena.bring_up(victim)
    run.healed()
    await _nothing_lost(run, probe)


@scenario("C02", clustered=True)
async def a_follower_dies(run: Run) -> None:
    """A follower killed -9 under load: nothing confirmed is lost, confirms go on."""
    seen = await _led(run)
    followers = sorted(set(seen["online"]) - {seen["leader"]})
    if not followers:
        raise VoidRunError(f"{_WORK_QUEUE} has no follower")
    victim = run.arena.cluster.named(run.chance.choice(followers))
    async with _probed(run, run.arena.cluster.named(seen["leader"])) as probe, _steady_load(run):
        await _flowing(run, probe)
        died, relayed = await _killed(run, victim)
        await _confirms_again(run, probe, died, relayed)
        run.check(run.figures["confirms_s"] < CONFIRMS_WITHIN, f"no confirm for {run.figures['confirms_s']} s")
    await run.reached()
    await run.arena.bring_up(victim)
    run.healed()
    await _nothing_lost(run, probe)


@scenario("C03", clustered=True)
async def the_leader_is_cut_off(run: Run) -> None:
    """The leader cut off from the other nodes: it pauses, the others go on, it comes back whole, nothing is lost."""
    cluster = run.arena.cluster
    victim = cluster.named((await _led(run))["leader"])
    async with _probed(run, victim) as probe, _steady_load(run):
        await _flowing(run, probe)
        at_work = await unfinished(run)
        cluster.away.add(victim.node)
        try:
            await cluster.isolate(victim)
            await eventually(lambda: _is_paused(victim), within=30, what=f"{victim.node} pauses itself")
            paused = time.monotonic()
            moved = await _led(run, by_other_than=victim.node)
            await _confirms_again(run, probe, paused, _confirm_of_a_relay(run))
            run.figures["confirms_s"] = round(probe.longest_gap(), 2)
            run.check(
                run.figures["confirms_s"] < CUT_OFF_WITHIN, f"no confirm for {run.figures['confirms_s']} s, cut off"
            )
        finally:
            await cluster.rejoin(victim)
        run.figures["leader"] = f"{victim.node} -> {moved['leader']}"
    if not at_work:
        raise VoidRunError("nothing was on its way")
    await run.reached()
    await eventually(lambda: _all_online(run), within=90, what="every member is back")
    cluster.away.discard(victim.node)
    run.healed()
    await _nothing_lost(run, probe)


async def _queue(run: Run) -> Any:
    """What the cluster says of the first work queue."""
    return await broker.management(run.stack, f"/api/queues/%2F/{_WORK_QUEUE}")


async def _led(run: Run, by_other_than: str = "") -> Any:
    """The same, once it names a leader, another than this one."""
    return await eventually(
        lambda: _queue(run), lambda seen: seen["leader"] not in (None, "", by_other_than), within=30, what="a leader"
    )


async def _replicated(run: Run) -> None:
    """Every queue of the product has a member on each node: else its node's death would be its own."""
    for queue in await broker.management(run.stack, "/api/queues/%2F"):
        members = len(queue.get("members", ()))
        run.check(members == len(run.arena.cluster.nodes), f"{queue['name']} has {members} members")


async def _all_online(run: Run) -> bool:
    return len((await _queue(run))["online"]) == len(run.arena.cluster.nodes)


async def _is_paused(node: ClusterNode) -> bool:
    return not await asyncio.to_thread(accepts_connections, node.ports()["RabbitMQ"])


@asynccontextmanager
async def _probed(run: Run, leader: ClusterNode) -> AsyncIterator[ConfirmProbe]:
    """A probe publishes meanwhile, to a queue whose leader is this node."""
    probe = ConfirmProbe(run.arena.cluster.amqp_urls)
    await probe.declare(leader.amqp_url)
    seen = await broker.management(run.stack, f"/api/queues/%2F/{probe.queue}")
    if seen["leader"] != leader.node or len(seen["members"]) != len(run.arena.cluster.nodes):
        raise VoidRunError(f"the probe's queue has leader {seen['leader']} and members {seen['members']}")
    task = asyncio.create_task(probe.run(), name="probe")
    try:
        yield probe
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def _steady_load(run: Run) -> AsyncIterator[None]:
    """A few leads a second, as long as the body lasts; each ends in 201."""
    is_over = asyncio.Event()

    async def client() -> None:
        async with http_client(run.stack) as http:
            while not is_over.is_set():
                person = run.scenario.crowd.person()
                response = await submit(http, run.scenario.log, person, small_pdf())
                run.check(response.status_code == 201, f"a lead was answered {response.status_code}")
                with suppress(TimeoutError):
                    async with asyncio.timeout(_PAUSE_S):
                        await is_over.wait()

    async with asyncio.TaskGroup() as group:
        for number in range(_CLIENTS):
            group.create_task(client(), name=f"client-{number}")
        try:
            yield
        finally:
            is_over.set()


async def _flowing(run: Run, probe: ConfirmProbe) -> None:
    """Wait until confirms flow and leads are on their way."""

    async def confirms() -> int:
        return len(probe.confirms)

    await _replicated(run)
    await eventually(confirms, lambda count: count >= 20, within=30, what="confirms flow")
    await run.accepted(run.chance.randrange(5, 15))


async def _killed(run: Run, victim: ClusterNode) -> tuple[float, Trap]:
    """Kill a node and keep it down; give the instant before, and a trap for a relay's next confirm."""
    at_work = await unfinished(run)
    queued = sum((await evidence.outboxes(run.stack)).values())
    run.arena.hold(victim)
    died = time.monotonic()
    await run.arena.kill_service(victim)
    relayed = _confirm_of_a_relay(run)
    if not at_work + queued + run.scenario.log.in_flight:
        raise VoidRunError("nothing was on its way")
    run.figures["victim"] = victim.node
    return died, relayed


def _confirm_of_a_relay(run: Run) -> Trap:
    trap = Trap("s2c", ACK, "notice")
    for hop in BROKERS:
        run.arena.lay(trap, hop, "intake-worker")
    return trap


async def _confirms_again(run: Run, probe: ConfirmProbe, since: float, relayed: Trap) -> None:
    """Measure, and go on a while: a channel opened during the election would be nacked for good."""

    async def first() -> float | None:
        return probe.first_after(since)

    found = await eventually(first, lambda seconds: seconds is not None, within=30, every=0.02, what="a confirm")
    run.figures["confirms_s"] = round(found or 0.0, 2)
    await run.sprung(relayed)
    run.figures["relay_s"] = round(time.monotonic() - since, 2)
    await asyncio.sleep(_AWAY_S)  # the length of the absence is the fault
    recent = [at for sent, at, _ in probe.confirms if sent > time.monotonic() - _AWAY_S / 2]
    run.check(recent, "confirms stopped again while the node was away")


async def _nothing_lost(run: Run, probe: ConfirmProbe) -> None:
    run.figures["probe_confirmed"] = len(probe.confirms)
    run.figures["probe_failures"] = len(probe.failures)
    run.figures["probe_lost"] = await probe.lost(run.arena.cluster.contact.amqp_url)
    run.check(not run.figures["probe_lost"], f"{run.figures['probe_lost']} confirmed messages are gone")
