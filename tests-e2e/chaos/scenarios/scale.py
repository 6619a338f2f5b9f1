"""The number of processes: a kind of worker grows and shrinks while it works."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable

from e2e.eventually import eventually

from chaos.fault_proxy import ACK, DELIVER, REDELIVER, Tally
from chaos.members import WORKERS, Member
from chaos.run import Run, VoidRunError, scenario

_ADDED = 7
"""To eight processes, from one."""


@scenario("F46")
async def workers_come_and_go(run: Run) -> None:
    """A kind of worker grows from one to eight and shrinks to one under load: SIGTERM ends with 0, few redeliveries."""
    kind = run.variant(WORKERS)
    redelivered, given, acked = Tally("s2c", REDELIVER), Tally("s2c", DELIVER), Tally("c2s", ACK)
    added: list[Member] = []
    enough = asyncio.Event()
    others = run.arena.of(kind)[1:]

    async def in_hand() -> int:
        return given.count - acked.count

    try:
        for member in others:
            await run.arena.take_down(member.service)
        async with asyncio.TaskGroup() as group:
            group.create_task(_post_until(run, enough))
            try:
                await run.accepted(run.chance.randrange(1, run.leads // 2))
                for proxy in run.arena.hops("broker", kind):
                    proxy.tallies.append(redelivered)
                added += await run.arena.add(kind, _ADDED, tallies=(redelivered, given, acked))
                run.figures["accepted_when_grown"] = len(run.scenario.log.accepted())
                codes = await _shrink(run, added, in_hand)
                released = await in_hand()
            finally:
                enough.set()
        run.healed()
        await run.reached()
    finally:
        for proxy in run.arena.hops("broker", kind):
            proxy.tallies = [one for one in proxy.tallies if one is not redelivered]
        for member in added:
            run.arena.hold(member.service)
            await asyncio.to_thread(member.service.stop)
            await run.arena.dismiss(member)
        for member in others:
            await run.arena.bring_up(member.service)
    run.check(set(codes) == {0}, f"exit codes {codes}")
    run.check(
        redelivered.count <= released, f"{redelivered.count} redeliveries, {released} messages were given back unacked"
    )
    run.figures |= {"kind": kind, "processes": 1 + _ADDED, "handled_by_added": acked.count}
    run.figures |= {"redelivered": redelivered.count, "released": released}


async def _shrink(run: Run, added: list[Member], in_hand: Callable[[], Awaitable[int]]) -> list[int | None]:
    """SIGTERM all that came, with messages in their hands; give their exit codes."""
    try:
        run.figures["in_hand"] = await eventually(in_hand, within=20, every=0.002, what="they have work in hand")
    except AssertionError as error:
        raise VoidRunError("those that came had nothing to do") from error
    began = time.monotonic()
    for member in added:
        run.arena.hold(member.service)
        member.signal(signal.SIGTERM)

    async def statuses() -> list[int | None]:
        return [member.service.exit_status() for member in added]

    codes = await eventually(statuses, lambda seen: None not in seen, within=30, what="all have ended")
    run.figures["exit_s"] = round(time.monotonic() - began, 1)
    return codes


async def _post_until(run: Run, enough: asyncio.Event) -> None:
    """Post leads in turns, the usual load at least, until it is enough."""
    await run.load()
    while not enough.is_set():
        await run.load(run.clients)
