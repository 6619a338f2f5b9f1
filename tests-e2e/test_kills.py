"""SIGKILL of every kind of process while 200 leads are posted: nothing lost, nothing doubled, nothing forgotten."""

import asyncio
import random
from collections.abc import Callable

from e2e.checker import Scenario
from e2e.clients import submit_all
from e2e.eventually import eventually
from e2e.killing import kill_at_work, work_of
from e2e.stack import KINDS, Stack

LEADS = 200
CLIENTS = 20


async def test_every_accepted_lead_is_reached_once_whoever_is_killed(
    stack: Stack, scenario: Scenario, chance: random.Random, report: Callable[[str], None]
) -> None:
    """All processes of a kind die at once, so that no sibling takes over; one kind after the other, in any order."""
    kinds = chance.sample(KINDS, len(KINDS))
    moments = sorted(chance.sample(range(10, LEADS - 30), len(KINDS)))

    async def kill(kind: str, accepted: int) -> None:
        async def seen() -> int:
            return len(scenario.log.accepted())

        await eventually(seen, lambda count: count >= accepted, within=60, every=0.01, what=f"{accepted} accepted")
        held = await kill_at_work(stack, kind, work_of(stack, kind, scenario.log), chance)
        report(f"  killed {kind} after {len(scenario.log.accepted())} accepted, holding {held}")

    async with asyncio.TaskGroup() as group:
        group.create_task(submit_all(stack, scenario.log, scenario.crowd.people(LEADS), clients=CLIENTS))
        for kind, moment in zip(kinds, moments, strict=True):
            group.create_task(kill(kind, moment))

    table = await scenario.verify()
    assert table.figures["leads"] == LEADS
