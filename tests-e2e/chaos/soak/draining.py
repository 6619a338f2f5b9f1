"""The end of a soak: what was accepted must drain, however long a busy machine takes, as long as it goes on.

It is not time that is up but progress that has stopped: the wait ends when what is left has not changed for
`STANDSTILL_S`, or after `AT_MOST_S`. The checker then judges what is there.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from e2e import evidence
from e2e.eventually import PATIENCE

from chaos.run import Run
from chaos.soak.fault import AWAY

STANDSTILL_S = 150.0
"""Longer than anything that waits by its own clock: broker retries (5 s), backed-off relays and mails."""
AT_MOST_S = 900.0
_LOOK_EVERY_S = 0.5
_REPAIRED_AT_ONCE = 50
"""Above 100 stuck leads the reconciler leaves them to a person (docs/operations.md)."""
_BEFORE_UNBOUND_S = 60.0

Left = TypeVar("Left")


async def drained(look: Callable[[], Awaitable[Left]], say: Callable[[str], None]) -> None:
    """Look until nothing is left, or nothing changes any more."""
    began = changed = time.monotonic()
    last: Left | str = "nothing was seen yet"
    while last:
        left: Left | str
        try:
            left = await look()
        except AWAY as error:  # a busy machine may not answer: not knowing is no progress
            left = f"{type(error).__name__}: {error}"
        now = time.monotonic()
        if left != last:
            last, changed = left, now
        elif now - changed > STANDSTILL_S * PATIENCE or now - began > AT_MOST_S * PATIENCE:
            say(f"  nothing changes any more: {left}")
            return
        if left:
            await asyncio.sleep(_LOOK_EVERY_S)


async def mend_what_was_missed(run: Run, unbound: list[tuple[float, float]], say: Callable[[str], None]) -> int:
    """What one of two hearers never got is repaired after 15 minutes of silence: make those leads that old.

    Gives how many there were; those that are not repaired are the checker's to tell.
    """
    if not unbound:
        return 0
    await drained(lambda: evidence.undrained(run.stack), say)
    missed = await _missed(run, unbound)
    for first in range(0, len(missed), _REPAIRED_AT_ONCE):
        some = missed[first : first + _REPAIRED_AT_ONCE]
        async with evidence.database(run.stack, "intake") as intake:
            await intake.execute(_AGE, some)
        await drained(partial(_still, run, unbound, some), say)
    return len(missed)


async def _still(run: Run, unbound: list[tuple[float, float]], some: list[Any]) -> list[Any]:
    missed = set(await _missed(run, unbound))
    return [one for one in some if one in missed]


async def _missed(run: Run, unbound: list[tuple[float, float]]) -> list[Any]:
    """Leads decided while a binding was away of which the mailer, or intake, knows nothing, or not the newest."""
    missed: set[Any] = set()
    for began, ended in unbound:
        rows = await run.fetch("assignment", _DECIDED, began - _BEFORE_UNBOUND_S, ended)
        decided = [row["lead_id"] for row in rows]
        rows = await run.fetch("mailer", "SELECT lead_id FROM deliveries WHERE lead_id = ANY($1)", decided)
        missed |= set(decided) - {row["lead_id"] for row in rows}
        rows = await run.fetch("intake", _OWNERLESS, decided)
        missed |= {row["id"] for row in rows}
        rows = await run.fetch("intake", _MOVED_UNREACHED, began - _BEFORE_UNBOUND_S, ended)
        missed |= {row["lead_id"] for row in rows}
    return sorted(missed)


_DECIDED = """
    SELECT lead_id FROM assignments WHERE assigned_at BETWEEN to_timestamp($1::float8) AND to_timestamp($2::float8)
"""
_OWNERLESS = "SELECT id FROM leads WHERE id = ANY($1) AND assigned_to IS NULL"
_MOVED_UNREACHED = """
    SELECT DISTINCT lead_id FROM timeline JOIN leads ON leads.id = lead_id
    WHERE at BETWEEN to_timestamp($1::float8) AND to_timestamp($2::float8) AND actor NOT LIKE '%-worker'
    AND type IN ('lead.reassigned', 'lead.status-changed') AND status IN ('registered', 'assigned')
"""
_AGE = """
    UPDATE leads
    SET updated_at = updated_at - interval '1 hour', outreach_next_at = outreach_next_at - interval '1 hour'
    WHERE id = ANY($1)
"""
