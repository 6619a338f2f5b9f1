"""A broker that is short of memory or of room, and a relay that sleeps with rows in its hands."""

import asyncio
import os
import signal
import subprocess
import time

from e2e import broker
from e2e.eventually import PATIENCE, eventually

from chaos.fault_proxy import PUBLISH, FaultProxy, Trap
from chaos.home import SETTINGS
from chaos.members import WORKERS
from chaos.run import Run, VoidRunError, scenario
from chaos.scenarios.seen import metric
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
async def broker_is_short(run: Run) -> None:
    """A memory or disk alarm: POST is untouched, relays say that they wait, consumers go on, all drains afterwards."""
    alarm, set_on, set_off = run.variant((MEMORY_ALARM, DISK_ALARM))
    mailers = run.arena.of("mailer-worker")
    await asyncio.gather(*(run.arena.take_down(member.service) for member in mailers))
    try:
        await run.load(_WAITING)
        await eventually(
            lambda: _ready(run), lambda count: count == _WAITING, within=30, what="the mailers' work waits"
        )
        usual = run.scenario.log.latencies()[-1]
        failed = sum(await metric(run.arena.of("intake-worker"), _FAILED))
        await rabbitmqctl(run, *set_on)
        try:
            await eventually(lambda: has_alarm(run, alarm), within=30, what="the alarm is on")
            on_since = time.monotonic()
            await run.load(run.leads - _WAITING)
            run.check(set(run.scenario.log.statuses()) == {"201"}, f"answers {run.scenario.log.statuses()}")
            slowest = run.scenario.log.latencies()[-1]
            run.check(slowest < _DEADLINE_S * PATIENCE, f"the slowest POST took {slowest:.1f} s")
            await eventually(lambda: _tried(run), within=60, what="a publish has timed out")
            await asyncio.gather(*(run.arena.bring_up(member.service) for member in mailers))
            await run.mails(_WAITING)  # what was queued before: consumers are not held up
            await asyncio.sleep(max(0.0, on_since + _ALARM_S - time.monotonic()))  # the alarm's length is the fault
            if not await has_alarm(run, alarm):
                raise VoidRunError("the alarm went out by itself")
            run.check(len(run.arena.smtp.mails) == _WAITING, f"{len(run.arena.smtp.mails)} mails under the alarm")
            said = sum(await metric(run.arena.of("intake-worker"), _FAILED)) - failed
            run.check(said > 0, "no relay counts a publish without a confirm")
            run.figures["backlog_peak"] = await _outbox(run, "intake")
        finally:
            await rabbitmqctl(run, *set_off)
    finally:
        await asyncio.gather(*(run.arena.bring_up(member.service) for member in mailers if member.pid is None))
    run.healed()
    if not run.figures["backlog_peak"]:
        raise VoidRunError("nothing was waiting for the broker")
    run.figures |= {"alarm": alarm, "slowest_post_s": round(slowest, 1), "usual_post_s": round(usual, 1)}


MEMORY_ALARM = (
    "mem_alarm",
    ("set_vm_memory_high_watermark", "absolute", "1"),
    ("set_vm_memory_high_watermark", "0.4"),
)
DISK_ALARM = ("disk_free_alarm", ("set_disk_free_limit", str(10**15)), ("set_disk_free_limit", "50MB"))
_ALARM_S = 10.0
_DEADLINE_S = float(SETTINGS["INTAKE_REQUEST_DEADLINE"])
_WAITING = 5
_FAILED = "relay_failed_total"


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


async def _ready(run: Run) -> int:
    return (await broker.queues(run.stack))["mailer.outreach ready"]


async def has_alarm(run: Run, alarm: str = MEMORY_ALARM[0]) -> bool:
    (node,) = await broker.management(run.stack, "/api/nodes")
    return bool(node.get(alarm))  # not there in a node's first moments


async def watermark(run: Run, *value: str) -> None:
    await rabbitmqctl(run, "set_vm_memory_high_watermark", *value)


async def rabbitmqctl(run: Run, *words: str) -> None:
    node = run.arena.rabbitmq
    process = await asyncio.create_subprocess_exec(
        str(find_or_unpack().server.with_name("rabbitmqctl")),
        *("-n", "leads@localhost", *words),
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
