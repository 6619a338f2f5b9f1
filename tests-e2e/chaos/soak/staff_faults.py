"""What staff do meanwhile: the newest leads change their owner, or are closed and reopened."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable

import httpx
from e2e import roster

from chaos.soak.fault import Fault, Field, Planner

_NEWEST = "SELECT id FROM leads WHERE created_at >= $1 AND email <> ALL($3) ORDER BY created_at DESC LIMIT $2"
_OPEN_AGAIN = ("reached_out", "assigned", "registered")
"""Where a closed lead may go on; which one it is, it says itself (409 otherwise)."""

Act = Callable[[httpx.AsyncClient, str], Awaitable[None]]


def _moved(chance: random.Random) -> Fault:
    count = chance.randrange(3, 10)

    async def body(field: Field) -> bool:
        attorneys: list[str] = []

        async def listed() -> int:
            async with field.run.staff() as staff:
                attorneys[:] = sorted(one["id"] for one in await roster.attorneys(staff) if one["available"])
            return 1

        async def move(staff: httpx.AsyncClient, lead: str) -> None:
            owner = await _shown(staff, lead, "assigned_to")
            # Nobody named: the assignment-worker is to choose anew.
            await _change(staff, lead, assigned_to=chance.choice([one for one in (None, *attorneys) if one != owner]))

        await field.look(listed)
        return await _each(field, await _newest(field, count), move) > 0

    return Fault("leads moved by staff", f"the newest {count}", frozenset({"roster"}), body)


def _closed_and_reopened(chance: random.Random) -> Fault:
    count, seconds = chance.randrange(3, 10), chance.uniform(0, 4)

    async def body(field: Field) -> bool:
        # The second window of a prospect whose lead is closed rightly makes another lead.
        leads = await _newest(field, count, field.twice)
        await _each(field, leads, lambda staff, lead: _change(staff, lead, status="declined"))
        await asyncio.sleep(seconds)  # how long they are closed is the fault
        return await _each(field, leads, _reopen) > 0

    return Fault("leads closed, reopened", f"the newest {count} for {seconds:.1f} s", frozenset({"roster"}), body)


async def _newest(field: Field, count: int, besides: Iterable[str] = ()) -> list[str]:
    found: list[str] = []

    async def seen() -> int:
        rows = await field.run.fetch("intake", _NEWEST, field.run.scenario.since, count, list(besides))
        found[:] = [str(row["id"]) for row in rows]
        return 1

    await field.look(seen)
    return found


async def _each(field: Field, leads: list[str], act: Act) -> int:
    """Do it to each of them, in spite of whatever else goes on; give how many there were."""
    left = list(leads)

    async def done() -> int:
        async with field.run.staff() as staff:
            while left:
                await act(staff, left[-1])
                left.pop()
        return 1

    await field.look(done)
    return len(leads)


async def _change(staff: httpx.AsyncClient, lead: str, **fields: object) -> None:
    answer = await staff.patch(f"/api/v1/leads/{lead}", json=fields)
    assert answer.status_code == 200, answer.text


async def _shown(staff: httpx.AsyncClient, lead: str, field: str) -> str | None:
    answer = await staff.get(f"/api/v1/leads/{lead}")
    assert answer.status_code == 200, answer.text
    value: str | None = answer.json()[field]
    return value


async def _reopen(staff: httpx.AsyncClient, lead: str) -> None:
    if await _shown(staff, lead, "status") != "declined":
        return  # an answer was lost: it is open again
    for status in _OPEN_AGAIN:
        answer = await staff.patch(f"/api/v1/leads/{lead}", json={"status": status})
        if answer.status_code != 409:
            break
    assert answer.status_code == 200, answer.text


PLANNERS: tuple[Planner, ...] = (_moved, _closed_and_reopened)
