"""Processes that die, freeze, are restarted, and become more or fewer."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from e2e.eventually import eventually

from chaos.fault_proxy import DELIVER, Trap
from chaos.members import WORKERS, Kind, Member
from chaos.scenarios.seen import probe
from chaos.soak.fault import KINDS, Fault, Field, Planner, at_work, sprung
from chaos.soak.marks import MARKS

_ENDS_WITHIN = 150.0
"""An orderly stop takes 37 s at most on a machine of its own (docs/operations.md); this one may be shared."""


def _killed(kind: Kind) -> Planner:
    def plan(chance: random.Random) -> Fault:
        hop, side, pattern = chance.choice(MARKS[kind])
        trap = Trap(side, pattern, "freeze", skip=chance.randrange(10))

        async def body(field: Field) -> bool:
            field.arena.lay(trap, hop, kind)
            if not await sprung(field, trap):
                return False
            await field.arena.kill(field.arena.victim_of(trap))
            return True

        return Fault(f"kill -9 {kind}", f"at {hop} {side} {pattern[:12]!r}", frozenset({kind}), body)

    return plan


def _killed_at_any_instant(chance: random.Random) -> Fault:
    kind = chance.choice(KINDS)

    async def body(field: Field) -> bool:
        member = chance.choice(field.arena.of(kind))
        busy = await at_work(field)
        await field.arena.kill(member)
        return busy > 0

    return Fault("kill -9 at any instant", kind, frozenset({kind}), body)


def _frozen(chance: random.Random) -> Fault:
    kind = chance.choice(KINDS)
    # The longer ones outlast a relay's transaction (15 s idle), two heartbeats and a mail's lease.
    longest = 4.0 if kind == "intake-api" else chance.choice((12.0, 22.0))
    seconds = chance.uniform(longest / 4, longest)

    async def body(field: Field) -> bool:
        member = chance.choice(field.arena.of(kind))
        member.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)  # the length of the freeze is the fault
            return await at_work(field) > 0
        finally:
            member.signal(signal.SIGCONT)

    return Fault("SIGSTOP, SIGCONT", f"{kind} for {seconds:.1f} s", frozenset({kind}), body)


def _restarted(chance: random.Random) -> Fault:
    kind = chance.choice(KINDS)

    async def body(field: Field) -> bool:
        member = chance.choice(field.arena.of(kind))
        busy = await at_work(field)
        async with away(field, [member]):
            return busy > 0

    return Fault("SIGTERM, restart", kind, frozenset({kind}), body)


def _scaled_down(chance: random.Random) -> Fault:
    kind, left = chance.choice(WORKERS), chance.choice((0, 1))
    seconds = chance.uniform(3, 10)

    async def body(field: Field) -> bool:
        async with away(field, field.arena.of(kind)[left:]):
            await asyncio.sleep(seconds)  # how long they are fewer is the fault
            return await at_work(field) > 0

    return Fault("scaled down, up again", f"{kind} to {left} for {seconds:.1f} s", frozenset({kind}), body)


def _scaled_up(chance: random.Random) -> Fault:
    kind, more = chance.choice(WORKERS), chance.choice((1, 2))
    seconds = chance.uniform(3, 10)

    async def body(field: Field) -> bool:
        seen = Trap("s2c", DELIVER, "notice")
        added = await field.arena.add(kind, more)
        try:
            for member in added:
                member.hops["broker"].set(seen)
            await asyncio.sleep(seconds)  # how long they are more is the fault
            await _end(field, added)
        finally:
            for member in added:
                field.arena.hold(member.service)
                await asyncio.to_thread(member.service.stop)
                await field.arena.dismiss(member)
        return seen.at is not None

    return Fault("scaled up, down again", f"{kind} by {more} for {seconds:.1f} s", frozenset({kind}), body)


@asynccontextmanager
async def away(field: Field, members: Sequence[Member]) -> AsyncIterator[None]:
    """SIGTERM some workers, each of which must end with 0; start them again after the body."""
    try:
        await _end(field, members)
        yield
    finally:
        for member in members:
            field.arena.hold(member.service)
            await asyncio.to_thread(member.service.stop)
            await asyncio.to_thread(member.service.start)
            field.arena.release(member.service)


async def _end(field: Field, members: Sequence[Member]) -> None:
    # Before its signal handler is there, SIGTERM ends any program.
    alive = [200] * len(members)
    await eventually(lambda: probe(members, "/livez"), lambda codes: codes == alive, within=_ENDS_WITHIN, what="alive")
    for member in members:
        field.arena.hold(member.service)
        member.signal(signal.SIGTERM)

    async def statuses() -> list[int | None]:
        return [member.service.exit_status() for member in members]

    what = f"{', '.join(member.name for member in members)} ended"
    codes = await eventually(statuses, lambda seen: None not in seen, within=_ENDS_WITHIN, what=what)
    field.run.check(set(codes) == {0}, f"{what} with {codes} after SIGTERM")


PLANNERS: tuple[Planner, ...] = (
    *(_killed(kind) for kind in KINDS),
    *(_killed_at_any_instant, _frozen, _restarted, _scaled_down, _scaled_up),
)
