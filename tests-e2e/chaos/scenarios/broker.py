"""A broker that is short of memory or of room, and a relay that sleeps with rows in its hands."""

import asyncio
import os
import signal
import subprocess
import time

from e2e import broker
from e2e.eventually import eventually

from chaos.fault_proxy import PUBLISH, FaultProxy, Trap
from chaos.members import WORKERS
from chaos.run import Run, VoidRunError, scenario
from deploy.local.rabbitmq_binaries import find_or_unpack

_POLICY = "/api/policies/%2F/chaos"


@scenario("F11")
async def a_relay_is_frozen(run: Run) -> None:
    """A relay is stopped (SIGSTOP) while it publishes: its rows are published by the other, one effect."""
    trap = Trap("c2s", PUBLISH, "notice", skip=run.chance.randrange(run.leads // 2))

    def stop(proxy: FaultProxy) -> None:
        run.arena.owner_of(proxy).signal(signal.SIGSTOP)

    trap.then = stop
    run.arena.lay(trap, "broker", "intake-worker")
    try:
        async with run.under_load():
            await run.sprung(trap)
            began = time.monotonic()
            held = await _outbox(run, "intake")
        await eventually(lambda: _outbox(run, "intake"), lambda rows: not rows, within=60, what="the rows are relayed")
        run.figures["taken_over_s"] = round(time.monotonic() - began, 1)
    finally:
        if trap.at:
            run.arena.victim_of(trap).signal(signal.SIGCONT)
    run.healed()
    if not held:
        raise VoidRunError("the relay held no row")


@scenario("F16")
async def broker_is_short_of_memory(run: Run) -> None:
    """A memory alarm: POST is untouched, publishes time out and are said again, all goes on when it is over."""
    await watermark(run, "absolute", "1")
    try:
        await eventually(lambda: has_alarm(run), within=30, what="the alarm is on")
        await run.load()
        run.check(set(run.scenario.log.statuses()) == {"201"}, f"answers {run.scenario.log.statuses()}")
        run.figures["slowest_post_s"] = round(run.scenario.log.latencies()[-1], 1)
        await eventually(lambda: _tried(run), within=60, what="a publish has timed out")
        run.figures["backlog_peak"] = await _outbox(run, "intake")
    finally:
        await watermark(run, "0.4")
    run.healed()


@scenario("F18")
async def a_queue_is_full(run: Run) -> None:
    """A queue at its length limit refuses: the outbox grows, nothing is dropped, all drains when there is room."""
    management = run.arena.rabbitmq.management
    mailers = run.arena.of("mailer-worker")
    policy = {"pattern": "^mailer\\.outreach$", "definition": {"max-length": 3}, "apply-to": "queues"}
    for member in mailers:
        await run.arena.take_down(member.service)
    try:
        status = await asyncio.to_thread(management.call, "PUT", _POLICY, policy)
        assert status in (201, 204), f"the policy was answered {status}"
        await run.load()
        await eventually(lambda: _refused(run), within=60, what="the relay was refused")
        run.figures["backlog_peak"] = await _outbox(run, "assignment")
    finally:
        await asyncio.to_thread(management.call, "DELETE", _POLICY)
        await asyncio.gather(*(run.arena.bring_up(member.service) for member in mailers))
    run.healed()


async def _outbox(run: Run, database: str) -> int:
    count: int = await run.fetch_value(database, "SELECT count(*) FROM outbox")
    return count


async def _tried(run: Run) -> int:
    count: int = await run.fetch_value("intake", "SELECT count(*) FROM outbox WHERE attempts > 0")
    return count


async def _refused(run: Run) -> int:
    count: int = await run.fetch_value("assignment", "SELECT count(*) FROM outbox WHERE attempts > 0")
    return count


async def has_alarm(run: Run) -> bool:
    (node,) = await broker.management(run.stack, "/api/nodes")
    return bool(node.get("mem_alarm"))  # not there in a node's first moments


async def watermark(run: Run, *value: str) -> None:
    node = run.arena.rabbitmq
    process = await asyncio.create_subprocess_exec(
        str(find_or_unpack().server.with_name("rabbitmqctl")),
        *("-n", "leads@localhost", "set_vm_memory_high_watermark", *value),
        env={**os.environ, **node.environment()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode(errors="replace")[-500:]


@scenario("F19")
async def a_queue_has_other_arguments(run: Run) -> None:
    """A queue exists with other arguments: workers stop with a line that names it, and nothing is made anew."""
    queue = run.variant(("assignment.leads", "mailer.outreach", "intake.lead-status")) + ".retry"
    workers = run.arena.of(*WORKERS)
    await asyncio.gather(*(run.arena.take_down(member.service) for member in workers))
    management = run.arena.rabbitmq.management
    path = f"/api/queues/%2F/{queue}"
    other = {"durable": True, "arguments": {"x-queue-type": "quorum", "x-message-ttl": 777}}
    try:
        assert await asyncio.to_thread(management.call, "DELETE", path) == 204
        assert await asyncio.to_thread(management.call, "PUT", path, other) == 201
        await run.load(5)
        victim = run.chance.choice(workers)
        await asyncio.to_thread(victim.service.start)

        async def status() -> int | None:
            return victim.service.exit_status()

        code = await eventually(status, lambda seen: seen is not None, within=30, what=f"{victim.name} stops")
        run.check(code not in (0, None), f"{victim.name} ended with {code}")
        said = victim.service.log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:]
        run.check(any(queue in line for line in said), f"{victim.name} does not name {queue}")
        found = await broker.management(run.stack, path)
        run.check(found["arguments"] == other["arguments"], f"{queue} was made anew")
    finally:
        await asyncio.to_thread(management.call, "DELETE", path)
        await asyncio.gather(*(run.arena.bring_up(member.service) for member in workers))
    run.healed()
