"""A thousand leads, ten equal attorneys, four choosing workers: everybody gets as much as everybody else.

About choices only, so the mailers are stopped meanwhile: mailing a thousand leads would take a third of the time of
the whole suite, and the kill tests show that mails are sent. For the same reason it comes last.
"""

from collections import Counter
from collections.abc import Callable

import httpx
import pytest
from e2e import evidence, roster
from e2e.checker import Scenario
from e2e.clients import submit_all
from e2e.eventually import eventually
from e2e.stack import Stack

LEADS = 1000
ATTORNEYS = 10
WORKERS = 4


async def test_a_thousand_leads_are_spread_evenly_by_four_workers(
    stack: Stack, scenario: Scenario, staff: httpx.AsyncClient, report: Callable[[str], None]
) -> None:
    if len(stack.pids("assignment-worker")) != WORKERS:
        pytest.fail(f"needs {WORKERS} assignment workers: E2E_RUN_JSON names a stack of another scale")
    await stack.control("stop", "mailer-worker")
    try:
        async with roster.everybody_off(stack, staff):
            await _spread(stack, scenario, staff, report)
    finally:
        await stack.control("start", "mailer-worker")


async def _spread(stack: Stack, scenario: Scenario, staff: httpx.AsyncClient, report: Callable[[str], None]) -> None:
    tag = scenario.crowd.canary
    team = {
        (await roster.add(staff, f"Equal {number}", f"equal{number}.{tag}@example.com"))["id"]
        for number in range(ATTORNEYS)
    }
    await roster.replicated(stack, staff)

    await submit_all(stack, scenario.log, scenario.crowd.people(LEADS))
    ids = list(set(scenario.log.accepted().values()))
    assert len(ids) == LEADS

    async def choices() -> list[tuple[str, str]]:
        query = "SELECT attorney_id, worker FROM assignments WHERE active AND lead_id = ANY($1::uuid[])"
        rows = await evidence.fetch(stack, "assignment", query, ids)
        return [(str(row["attorney_id"]), row["worker"]) for row in rows]

    made = await eventually(choices, lambda rows: len(rows) == LEADS, within=60, what="all leads are assigned")
    shares = Counter(attorney for attorney, _ in made)
    workers = Counter(worker for _, worker in made)
    report(f"  open leads per attorney {sorted(shares.values())}; choices per worker {sorted(workers.values())}")
    assert set(shares) == team
    assert max(shares.values()) - min(shares.values()) <= 1
    assert len(workers) == WORKERS, workers

    async def counters() -> dict[str, int]:
        rows = await evidence.fetch(stack, "assignment", "SELECT id, open_leads FROM attorneys")
        return {str(row["id"]): row["open_leads"] for row in rows if str(row["id"]) in team}

    async def told() -> dict[str, int]:
        return {one["id"]: one["open_leads"] for one in await roster.attorneys(staff) if one["id"] in team}

    assert await counters() == shares, "the load counters are the counts"
    await eventually(told, lambda loads: loads == shares, within=60, what="the API tells the same")
