"""Attorneys who are all away: leads must wait, and go on when somebody is back."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from e2e import roster

from chaos.soak.fault import Fault, Field, Planner


def _nobody_takes_leads(chance: random.Random) -> Fault:
    seconds = chance.uniform(2, 8)

    async def body(field: Field) -> bool:
        async with _everybody_off(field):
            await asyncio.sleep(seconds)  # the length of the absence is the fault
            return await field.look(lambda: field.run.fetch_value("intake", _WAITING, field.run.scenario.since)) > 0

    return Fault("no attorney", f"{seconds:.1f} s", frozenset({"roster"}), body)


_WAITING = "SELECT count(*) FROM leads WHERE created_at >= $1 AND waiting_reason IS NOT NULL"


@asynccontextmanager
async def _everybody_off(field: Field) -> AsyncIterator[None]:
    """Nobody takes leads, whatever else goes on: each change is asked for until it is made."""

    async def change(attorney: str, *, available: bool) -> int:
        async with field.run.staff() as staff:
            await roster.change(staff, attorney, available=available)
        return 1

    async def listed() -> int:
        async with field.run.staff() as staff:
            before[:] = [one["id"] for one in await roster.attorneys(staff) if one["available"]]
        return len(before)

    before: list[str] = []
    await field.look(listed)
    try:
        for one in before:
            await field.look(partial(change, one, available=False))
        yield
    finally:
        for one in before:
            await field.look(partial(change, one, available=True))


PLANNERS: tuple[Planner, ...] = (_nobody_takes_leads,)
