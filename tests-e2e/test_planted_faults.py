"""The checker against real tables: faults planted behind the product's back are found by the queries that gather."""

import asyncio
import smtplib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from email.message import EmailMessage

import httpx
from e2e import evidence, objects
from e2e.checker import Scenario, judge
from e2e.clients import submit_all
from e2e.mailboxes import Mailboxes
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


@asynccontextmanager
async def taken_away(stack: Stack, lead: str) -> AsyncIterator[None]:
    """A lead's resume is gone from the store; put back afterwards."""
    key = await evidence.fetch_value(stack, "intake", "SELECT resume_key FROM submissions WHERE lead_id = $1", lead)
    content = await asyncio.to_thread(objects.get, stack, key)
    await asyncio.to_thread(objects.remove, stack, key)
    try:
        yield
    finally:
        await asyncio.to_thread(objects.put, stack, key, content)


def send_again(stack: Stack, mail: EmailMessage) -> None:
    """Deliver a mail once more, as it is."""
    sink = stack.run["mail"]
    with smtplib.SMTP(sink["smtp_host"], sink["smtp_port"]) as smtp:
        smtp.send_message(mail)


@asynccontextmanager
async def stray(stack: Stack) -> AsyncIterator[None]:
    """An object of no row, where the sweeper does not look; removed afterwards."""
    key, since = f"planted/{uuid.uuid4()}", await evidence.database_time(stack)
    await asyncio.to_thread(objects.put, stack, key, b"nobody's")
    try:
        assert await evidence.orphans(stack, since) == [key]
        yield
    finally:
        await asyncio.to_thread(objects.remove, stack, key)


async def test_the_checker_sees_faults_planted_in_the_tables(
    stack: Stack, scenario: Scenario, staff: httpx.AsyncClient, mailboxes: Mailboxes
) -> None:
    await submit_all(stack, scenario.log, scenario.crowd.people(3), clients=1)
    await scenario.settle()
    lead, other, third = scenario.log.accepted().values()
    answer = await staff.patch(f"/api/v1/leads/{third}", json={"status": "retained"})
    assert answer.status_code == 200, answer.text
    final = ("reached_out", "retained")
    await scenario.verify(final)
    addresses = {attempt.address for attempt in scenario.log.attempts}
    note = stack.log_folder / "planted.log"

    async def found() -> set[str]:
        # What is planted here the sweeper does not take: its full time need not be waited for.
        impatient = replace(stack, swept_within=1.0)
        seen = await evidence.gather(impatient, scenario.since, addresses, scenario.crowd)
        return {name.strip() for name in judge(scenario.log, seen, final=final).failed}

    faults = {
        ("I1 lost",): (
            "intake",
            "UPDATE idempotency_keys k SET submission_id = k.claim FROM submissions s"
            " WHERE s.id = k.submission_id AND s.lead_id = $1::uuid",
            "UPDATE idempotency_keys k SET submission_id = s.id FROM submissions s"
            " WHERE k.submission_id = k.claim AND s.lead_id = $1::uuid",
        ),
        ("I1 lost", "I2 unexpected"): (
            "intake",
            "UPDATE idempotency_keys k SET key_hash = 'planted' || key_hash FROM submissions s"
            " WHERE s.id = k.submission_id AND s.lead_id = $1::uuid",
            "UPDATE idempotency_keys k SET key_hash = substr(key_hash, 8) FROM submissions s"
            " WHERE s.id = k.submission_id AND s.lead_id = $1::uuid",
        ),
        ("I13 dead letters", "I15 leaks"): (
            "intake",
            "INSERT INTO dead_letters"
            " (id, queue, message_key, headers, lead_id, attempts, error_type, error_place, body, body_truncated)"
            " SELECT gen_random_uuid(), 'planted', 'planted', '{}', l.id, 1, 'Planted', 'here',"
            " convert_to(s.message, 'UTF8'), false FROM leads l JOIN submissions s ON s.lead_id = l.id"
            " WHERE l.id = $1::uuid",
            "DELETE FROM dead_letters WHERE queue = 'planted' AND lead_id = $1::uuid",
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
        ("I5 stuck", "unfinished", "I14 history"): (
            "intake",
            "UPDATE leads SET status = 'assigned', outreach_final = false, outreach_reason = 'smtp_450',"
            " outreach_next_at = clock_timestamp() - interval '1 minute' WHERE id = $1::uuid",
            "UPDATE leads SET status = 'reached_out', outreach_final = true, outreach_reason = NULL,"
            " outreach_next_at = NULL WHERE id = $1::uuid",
        ),
        ("I6 ghost sent", "I12 not drained"): (
            "mailer",
            "UPDATE deliveries SET state = 'deferred', reason = 'planted', next_attempt_at = '2100-01-01'"
            " WHERE lead_id = $1::uuid",
            "UPDATE deliveries SET state = 'sent', reason = NULL, next_attempt_at = NULL WHERE lead_id = $1::uuid",
        ),
        ("copies that differ",): (
            "mailer",
            "INSERT INTO deliveries SELECT (jsonb_populate_record(d, jsonb_build_object('id', gen_random_uuid(),"
            " 'sequence', 99, 'message_id', (SELECT o.message_id FROM deliveries o WHERE o.lead_id <> d.lead_id"
            " ORDER BY o.sent_at DESC NULLS LAST LIMIT 1)))).* FROM deliveries d WHERE d.lead_id = $1::uuid",
            "DELETE FROM deliveries WHERE sequence = 99 AND lead_id = $1::uuid",
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
        ("I14 history",): (
            "intake",
            "UPDATE timeline SET type = 'planted' WHERE lead_id = $1::uuid AND type = 'lead.reached-out'",
            "UPDATE timeline SET type = 'lead.reached-out' WHERE lead_id = $1::uuid AND type = 'planted'",
        ),
    }
    for names, (database, plant, undo) in faults.items():
        async with planted(stack, database, plant, undo, lead):
            assert set(names) <= await found(), names
    async with taken_away(stack, lead):
        assert await found() == {"I10 dangling"}
    async with stray(stack):
        assert await found() == {"I11 orphans"}
    for word in scenario.crowd.words:
        note.write_text(f"a careless line about {word}\n")
        assert await found() == {"I15 leaks"}, word
    note.unlink()
    assert await found() == set(), f"all is undone, of {other} too"

    (delivered,) = await mailboxes.read(scenario.log.attempts[0].address)
    await asyncio.to_thread(send_again, stack, delivered)
    assert await found() == {"I7 mailed twice"}
    flag = "UPDATE deliveries SET ambiguous = {} WHERE lead_id = $1::uuid"
    async with planted(stack, "mailer", flag.format("true"), flag.format("false"), lead):
        assert await found() == set(), "a copy of an ambiguous mail is listed"
