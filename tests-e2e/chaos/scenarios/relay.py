"""Between the outbox and the broker: bindings that are gone, links that are gone, relays that die before they speak."""

import asyncio
import time
from urllib.parse import quote

from e2e import broker, evidence
from e2e.eventually import eventually

from chaos.fault_proxy import ACK, COMMIT, DELIVER, PUBLISH, RETURN, SETTLE, FaultProxy, Tally, Trap
from chaos.members import WORKERS
from chaos.run import Run, VoidRunError, scenario
from chaos.scenarios.messages import channel_of
from chaos.scenarios.seen import given_up, idle_transactions, metric

_EXCHANGE = "leads.events"
_UNBOUND_AT_MOST = 20


@scenario("F13a")
async def every_binding_of_a_key_is_gone(run: Run) -> None:
    """Unroutable: the row stays until the bindings are declared again, then all goes on."""
    queue, key = run.variant((("assignment.leads", "lead.registered"), ("intake.lead-status", "lead.reached-out")))
    before = await unroutable(run)
    returned = Tally("s2c", RETURN)

    async def returned_or_bound() -> bool:
        return bool(returned.count) or await is_bound(run, queue, key)

    for proxy in run.arena.hops("broker", *WORKERS):
        proxy.tallies.append(returned)
    try:
        async with run.under_load():
            await run.accepted(1)
            for _ in range(_UNBOUND_AT_MOST):  # twelve lanes declare it again once a minute, each by its own clock
                await unbind(run, queue, key)
                await eventually(returned_or_bound, within=60, every=0.05, what="a return, or the binding")
                if returned.count:
                    break
            run.healed()
        await eventually(lambda: is_bound(run, queue, key), within=60, what="the binding is declared again")
        await run.reached()
    finally:
        for proxy in run.arena.hops("broker", *WORKERS):
            proxy.tallies.remove(returned)
    if not returned.count:
        raise VoidRunError("the binding was back before anything was published")
    counted = await unroutable(run) - before
    run.check(counted == returned.count, f"the broker returned {returned.count} messages, relays counted {counted}")
    run.figures["unroutable"] = returned.count


@scenario("F13b")
async def one_of_two_bindings_is_gone(run: Run) -> None:
    """One hearer of two is unbound: back within a minute, and the reconciler repairs what was missed."""
    queue, key = "mailer.outreach", "lead.assigned"
    given, settled = Tally("s2c", DELIVER), Tally("c2s", SETTLE)
    hops = run.arena.hops("broker", "mailer-worker")

    async def on_their_way() -> int:
        async with channel_of(run) as channel:  # the broker's own figures are behind
            queues = [await channel.get_queue(name) for name in (queue, f"{queue}.retry")]
        ready = sum(one.declaration_result.message_count or 0 for one in queues)
        return ready + given.count - settled.count

    async def keep_unbound() -> None:
        while True:  # a dozen relays declare it again every few seconds
            await unbind(run, queue, key)
            await asyncio.sleep(0.05)

    for proxy in hops:
        proxy.tallies += [given, settled]
    unbinding = asyncio.create_task(keep_unbound(), name="unbind")
    try:
        await run.load()
        await eventually(lambda: evidence.undrained(run.stack), lambda left: not left, within=60, what="drained")
        await eventually(on_their_way, lambda count: not count, within=60, what="what came through is handled")
    finally:
        unbinding.cancel()
        for proxy in hops:
            proxy.tallies = [one for one in proxy.tallies if one is not given and one is not settled]
    await eventually(lambda: is_bound(run, queue, key), within=60, what="the binding is declared again")
    run.healed()
    mailed = await run.fetch("mailer", "SELECT lead_id FROM deliveries")
    known = [row["lead_id"] for row in mailed]
    missed = await run.fetch_value("intake", _MISSED, run.scenario.since, known)
    if not missed:
        raise VoidRunError("the binding was back before anything was missed")
    async with evidence.database(run.stack, "intake") as intake:  # what is young is not stuck yet: make it old
        await intake.execute(_AGE, run.scenario.since)
    await run.reached()
    repaired = await run.fetch_value("intake", "SELECT count(*) FROM repairs WHERE last_at >= $1", run.scenario.since)
    run.check(repaired == missed, f"{missed} leads were missed, {repaired} repaired")
    run.figures["repaired"] = repaired


_MISSED = "SELECT count(*) FROM leads WHERE created_at >= $1 AND status = 'assigned' AND id <> ALL($2)"
_AGE = """
    UPDATE leads
    SET updated_at = updated_at - interval '1 hour', outreach_next_at = outreach_next_at - interval '1 hour'
    WHERE created_at >= $1 AND status = 'assigned'
"""


@scenario("F17")
async def a_workers_broker_link_is_cut_or_silent(run: Run) -> None:
    """A worker's link is cut, or silent beyond two heartbeats: the other takes over, the late ack harms nothing."""
    kind, silent = run.variant([(kind, silent) for silent in (True, False) for kind in WORKERS])
    trap = Trap("c2s", ACK, "freeze" if silent else "cut", skip=run.chance.randrange(run.leads // 2))
    run.arena.lay(trap, "broker", kind)
    async with run.under_load():
        await run.sprung(trap)
        began = time.monotonic()
        links = run.arena.victim_of(trap).hops["broker"].outward_ports
    if silent:
        await run.reached()
        run.figures["taken_over_s"] = round(time.monotonic() - began, 1)
        run.figures["given_up_s"] = await given_up(run, links, began)
    run.arena.heal()
    run.healed()
    run.figures["link"] = "silent" if silent else "cut"
    run.figures["victim"] = run.arena.victim_of(trap).name


@scenario("F10")
async def relay_dies_before_it_publishes(run: Run) -> None:
    """Relay killed with its first publish on the way, and kept down: another takes its rows over at once."""
    trap = Trap("c2s", PUBLISH, "freeze", skip=run.chance.randrange(run.leads // 2))
    run.arena.lay(trap, "broker", "intake-worker")
    async with run.under_load():
        await run.sprung(trap)
        victim = run.arena.victim_of(trap)
        held = [row["id"] for row in await run.fetch("intake", _CLAIMED)]
        run.arena.hold(victim.service)
        try:
            await run.arena.kill(victim)
            began = time.monotonic()

            async def left() -> int:
                count: int = await run.fetch_value(
                    "intake", "SELECT count(*) FROM outbox WHERE id = ANY($1::bigint[])", held
                )
                return count

            await eventually(left, lambda count: not count, within=10, every=0.05, what="its rows are taken over")
            run.figures["takeover_s"] = round(time.monotonic() - began, 2)
        finally:
            run.arena.release(victim.service)
        run.healed()
    run.figures |= {"victim": victim.name, "held": len(held)}
    if not held:
        raise VoidRunError("the relay held no row")


_CLAIMED = """
    WITH free AS (SELECT id FROM outbox FOR UPDATE SKIP LOCKED)
    SELECT id FROM outbox WHERE id NOT IN (SELECT id FROM free)
"""


@scenario("F12")
async def a_lower_outbox_id_commits_later(run: Run) -> None:
    """A row that commits after rows with higher ids were relayed is not skipped."""
    (api,) = run.arena.of("intake-api")
    proxy = api.hops["database"]
    async with run.under_load():
        held_at = await _hold_a_submission(run, proxy)

        async def relayed() -> int:
            log = run.scenario.log
            later = [one.lead_id for one in log.attempts if one.status == 201 and one.sent_at > held_at]
            count: int = await run.fetch_value("intake", _RELAYED, later)
            return count

        try:
            run.figures["overtook"] = await eventually(
                relayed, lambda count: count >= _OVERTAKERS, within=20, every=0.05, what="later rows are relayed"
            )
        except AssertionError as error:
            raise VoidRunError("no later row was relayed meanwhile") from error
        overtaken = await idle_transactions(run, "intake", "UPDATE idempotency_keys%")
        proxy.heal()
        run.healed()
    if not overtaken:
        raise VoidRunError("the held transaction did not last until it was overtaken")


_OVERTAKERS = 1
_RELAYED = "SELECT count(*) FROM leads WHERE id = ANY($1::uuid[]) AND status <> 'registered'"


async def _hold_a_submission(run: Run, proxy: FaultProxy) -> float:
    """Hold one connection at the commit of a submission, outbox row written; give since when it is held."""
    for _ in range(30):
        trap = proxy.arm("c2s", COMMIT, "freeze_connection", skip=run.chance.randrange(6))
        await run.sprung(trap)
        if await idle_transactions(run, "intake", "UPDATE idempotency_keys%"):
            return time.monotonic()
        proxy.heal()
    raise VoidRunError("no commit of a submission was caught")


async def unbind(run: Run, queue: str, key: str) -> None:
    path = f"/api/bindings/%2F/e/{_EXCHANGE}/q/{quote(queue)}/{quote(key)}"
    status = await asyncio.to_thread(run.arena.rabbitmq.management.call, "DELETE", path)
    assert status in (204, 404), f"unbinding {queue} from {key} was answered {status}"


async def is_bound(run: Run, queue: str, key: str) -> bool:
    rows = await broker.management(run.stack, f"/api/bindings/%2F/e/{_EXCHANGE}/q/{quote(queue)}")
    return any(row["routing_key"] == key for row in rows)


async def unroutable(run: Run) -> int:
    """How often relays have found that nobody is bound, as they count it themselves."""
    return int(sum(await metric(run.arena.of(*WORKERS), "relay_unroutable_total")))
