"""The checker against real tables: faults planted behind the product's back are found by the queries that gather."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from e2e import evidence
from e2e.checker import Scenario, judge
from e2e.clients import submit_all
from e2e.stack import Stack


@asynccontextmanager
async def planted(stack: Stack, database: str, plant: str, undo: str, *values: object) -> AsyncIterator[None]:
    """A change of a table, undone afterwards."""

    async def run(statement: str) -> None:
        async with evidence.database(stack, database) as connection:
            done = await connection.execute(statement, *values)
            assert done.endswith(" 1"), f"{statement}: {done}"

    await run(plant)
    try:
        yield
    finally:
        await run(undo)


async def test_the_checker_sees_faults_planted_in_the_tables(stack: Stack, scenario: Scenario) -> None:
    await submit_all(stack, scenario.log, scenario.crowd.people(3), clients=1)
    await scenario.verify()
    lead, other, _ = scenario.log.accepted().values()
    addresses = {attempt.address for attempt in scenario.log.attempts}
    note = stack.log_folder / "planted.log"

    async def found() -> set[str]:
        seen = await evidence.gather(stack, scenario.since, addresses, scenario.crowd.canary)
        return {name.strip() for name in judge(scenario.log, seen).failed}

    faults = {
        ("I1 lost",): (
            "intake",
            "UPDATE idempotency_keys k SET submission_id = k.claim FROM submissions s"
            " WHERE s.id = k.submission_id AND s.lead_id = $1::uuid",
            "UPDATE idempotency_keys k SET submission_id = s.id FROM submissions s"
            " WHERE k.submission_id = k.claim AND s.lead_id = $1::uuid",
        ),
        ("I3 duplicated",): (
            "intake",
            "UPDATE leads SET email_key = (SELECT email_key FROM leads WHERE id <> $1::uuid AND created_at >="
            " (SELECT created_at FROM leads WHERE id = $1::uuid) ORDER BY created_at LIMIT 1) WHERE id = $1::uuid",
            "UPDATE leads SET email_key = lower(email) WHERE id = $1::uuid",
        ),
        ("I5 stuck", "unfinished"): (
            "intake",
            "UPDATE leads SET status = 'assigned' WHERE id = $1::uuid",
            "UPDATE leads SET status = 'reached_out' WHERE id = $1::uuid",
        ),
        ("I6 ghost sent",): (
            "mailer",
            "UPDATE deliveries SET message_id = 'ghost ' || message_id WHERE lead_id = $1::uuid",
            "UPDATE deliveries SET message_id = substr(message_id, 7) WHERE lead_id = $1::uuid",
        ),
        ("I9 assignment",): (
            "assignment",
            "UPDATE attorneys SET open_leads = open_leads + 1"
            " WHERE id = (SELECT attorney_id FROM leads WHERE lead_id = $1::uuid)",
            "UPDATE attorneys SET open_leads = open_leads - 1"
            " WHERE id = (SELECT attorney_id FROM leads WHERE lead_id = $1::uuid)",
        ),
        ("I10 dangling",): (
            "intake",
            "UPDATE submissions SET resume_key = 'gone/' || resume_key WHERE lead_id = $1::uuid",
            "UPDATE submissions SET resume_key = substr(resume_key, 6) WHERE lead_id = $1::uuid",
        ),
        ("I14 timeline",): (
            "intake",
            "UPDATE timeline SET type = 'planted' WHERE lead_id = $1::uuid AND type = 'lead.reached-out'",
            "UPDATE timeline SET type = 'lead.reached-out' WHERE lead_id = $1::uuid AND type = 'planted'",
        ),
    }
    for names, (database, plant, undo) in faults.items():
        async with planted(stack, database, plant, undo, lead):
            assert set(names) <= await found(), names
    note.write_text(f"a careless line about {scenario.crowd.canary}\n")
    assert await found() == {"I15 in logs"}
    note.unlink()
    assert await found() == set(), f"all is undone, of {other} too"
