"""What a scenario left behind: raw tables, objects, mails, queues, logs. Gathered here, judged in `checker`.

Reads tables directly, never the product's own counters or pages, which may be wrong in the same way.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any

import asyncpg

from e2e import broker, lead_list, leaks, objects
from e2e.clients import Crowd
from e2e.eventually import eventually
from e2e.histories import AuditRow, History, TimelineRow
from e2e.mailboxes import SinkMail, mailboxes_of
from e2e.rows import OPEN, AssignmentRow, DeliveryRow, Evidence, LeadRow, SubmissionRow
from e2e.stack import Stack

DATABASES = ("intake", "assignment", "mailer")
_WITHDRAWN = "withdrawn"
_FIGURES_AGE = 8.0


@asynccontextmanager
async def database(stack: Stack, name: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to one of the three databases, for reading."""
    connection = await asyncpg.connect(stack.run["databases"][name], timeout=10)
    try:
        yield connection
    finally:
        await connection.close()


async def fetch(stack: Stack, name: str, query: str, *values: Any) -> list[asyncpg.Record]:
    """Rows of one query."""
    async with database(stack, name) as connection:
        rows: list[asyncpg.Record] = await connection.fetch(query, *values)
        return rows


async def fetch_value(stack: Stack, name: str, query: str, *values: Any) -> Any:
    """The first value of one query."""
    async with database(stack, name) as connection:
        return await connection.fetchval(query, *values)


async def database_time(stack: Stack) -> datetime:
    now: datetime = await fetch_value(stack, "intake", "SELECT clock_timestamp()")
    return now


async def outboxes(stack: Stack) -> dict[str, int]:
    """Outbox rows that are not published, by database."""
    return {f"{name}.outbox": await fetch_value(stack, name, "SELECT count(*) FROM outbox") for name in DATABASES}


async def undrained(stack: Stack) -> dict[str, int]:
    """Outboxes and queues that still hold something."""
    counts = {**await outboxes(stack), **await broker.queues(stack)}
    return {name: count for name, count in counts.items() if count}


async def unfinished(stack: Stack, since: datetime) -> dict[str, int]:
    """What is not drained, and mails queued after ``since`` that are still to be sent."""
    waiting = {"mailer.deliveries": await fetch_value(stack, "mailer", _WAITING_MAILS, since)}
    return {**await undrained(stack), **{name: count for name, count in waiting.items() if count}}


async def _left_in_the_end(stack: Stack, since: datetime) -> dict[str, int]:
    """What does not drain either once the management API's figures are of now."""
    left: dict[str, int] = {}

    async def look() -> dict[str, int]:
        nonlocal left
        left = await unfinished(stack, since)
        return left

    with suppress(AssertionError):
        await eventually(look, lambda seen: not seen, within=_FIGURES_AGE, every=0.5)
    return left


async def gather(stack: Stack, since: datetime, addresses: Iterable[str], crowd: Crowd) -> Evidence:
    """Collect the evidence of what happened after ``since`` (database time), to these addresses, to this crowd."""
    typed = list(addresses)
    found = Evidence()
    await _from_intake(stack, found, since, crowd)
    await _from_assignment(stack, found)
    await _from_mailer(stack, found)
    found.shown = await lead_list.read(stack, since)
    sink = mailboxes_of(stack)
    found.mails = [
        SinkMail(mail.address.lower(), mail.message_id, mail.content_hash) for mail in await sink.survey(typed)
    ]
    found.objects = await asyncio.to_thread(
        objects.digests, stack, [row.resume_key for row in found.submissions if row.resume_key]
    )
    found.undrained = await _left_in_the_end(stack, since)
    found.orphans = await _orphans_in_the_end(stack, since)
    found.leaks += await asyncio.to_thread(leaks.in_logs, stack.log_folder, crowd.words, crowd.unspoken)
    found.leaks += await leaks.in_metrics(stack, crowd.words)
    return found


async def _from_intake(stack: Stack, found: Evidence, since: datetime, crowd: Crowd) -> None:
    async with database(stack, "intake") as intake:
        rows = await intake.fetch("SELECT * FROM submissions WHERE received_at >= $1", since)
        found.submissions = [
            SubmissionRow(
                str(row["id"]),
                str(row["lead_id"]),
                row["email"].lower(),
                "" if row["resume_state"] == _WITHDRAWN else row["resume_key"],
                row["resume_sha256"],
            )
            for row in rows
        ]
        rows = await intake.fetch("SELECT key_hash, submission_id FROM idempotency_keys WHERE created_at >= $1", since)
        found.keys = {row["key_hash"]: str(row["submission_id"]) if row["submission_id"] else None for row in rows}
        mine = [row["lead_id"] for row in await intake.fetch(_LEADS_SINCE, since)]
        found.leads = [_lead(row, since) for row in await intake.fetch(_LEADS, mine)]
        found.histories = await _histories(intake, mine)
        rows = await intake.fetch(_INTAKE_LOADS, list(OPEN))
        found.intake_loads = {str(row["assigned_to"]): row["count"] for row in rows}
        rows = await intake.fetch("SELECT * FROM dead_letters WHERE last_at >= $1 AND status = 'open'", since)
        found.dead_letters = [
            f"{row['queue']} {row['message_type']} {row['message_id']}: {row['error_type']} at {row['error_place']}"
            for row in rows
        ]
        rows = await intake.fetch(_DEAD_BODIES, since, [word.encode() for word in crowd.unspoken])
        found.leaks = [f"dead letter {row['id']} of {row['queue']}: {row['word'].decode()}" for row in rows]


async def _histories(intake: asyncpg.Connection, leads: list[Any]) -> dict[str, History]:
    told: dict[str, list[TimelineRow]] = defaultdict(list)
    for row in await intake.fetch(_TIMELINE, leads):
        told[str(row["lead_id"])].append(TimelineRow(row["type"], row["actor"], json.loads(row["detail"])))
    audited: dict[str, list[AuditRow]] = defaultdict(list)
    for row in await intake.fetch(_AUDIT, leads):
        audited[str(row["lead_id"])].append(AuditRow(row["action"], json.loads(row["detail"])))
    return {lead: History(tuple(told[lead]), tuple(audited[lead])) for lead in map(str, leads)}


async def orphans(stack: Stack, since: datetime) -> list[str]:
    """Objects written after ``since`` that no row knows."""
    written = await asyncio.to_thread(objects.written_since, stack, since)
    # Rows are read after the objects, so that one whose commit comes in between is known.
    rows = await fetch(stack, "intake", "SELECT resume_key FROM submissions WHERE resume_state <> $1", _WITHDRAWN)
    known = {row["resume_key"] for row in rows}
    return sorted(written - known)


async def _orphans_in_the_end(stack: Stack, since: datetime) -> list[str]:
    """What the sweeper leaves; where its grace is not ours to know, it is not waited for."""
    left: list[str] = []
    if stack.swept_within is None:
        return left

    async def look() -> list[str]:
        nonlocal left
        left = await orphans(stack, since)
        return left

    with suppress(AssertionError):
        await eventually(look, lambda seen: not seen, within=stack.swept_within, every=0.5)
    return left


def _lead(row: asyncpg.Record, since: datetime) -> LeadRow:
    return LeadRow(
        id=str(row["id"]),
        address=row["email_key"],
        status=row["status"],
        is_new=row["created_at"] >= since,
        owner=str(row["assigned_to"]) if row["assigned_to"] else None,
        waiting_reason=row["waiting_reason"],
        next_mail=str(row["next_mail_at"]) if row["next_mail_at"] else None,
    )


async def _from_assignment(stack: Stack, found: Evidence) -> None:
    mine = {lead.id for lead in found.leads}
    async with database(stack, "assignment") as assignment, assignment.transaction(isolation="repeatable_read"):
        rows = await assignment.fetch("SELECT lead_id, state FROM leads WHERE lead_id = ANY($1::uuid[])", list(mine))
        found.assignment_states = {str(row["lead_id"]): row["state"] for row in rows}
        rows = await assignment.fetch("SELECT * FROM assignments WHERE lead_id = ANY($1::uuid[])", list(mine))
        found.assignments = [
            AssignmentRow(str(row["lead_id"]), str(row["attorney_id"]), row["active"], row["worker"]) for row in rows
        ]
        rows = await assignment.fetch("SELECT id, open_leads FROM attorneys")
        found.load_counters = {str(row["id"]): row["open_leads"] for row in rows}
        rows = await assignment.fetch(
            "SELECT attorney_id, count(*) FROM leads WHERE state = 'assigned' GROUP BY attorney_id"
        )
        found.load_counts = {str(row["attorney_id"]): row["count"] for row in rows}


async def _from_mailer(stack: Stack, found: Evidence) -> None:
    addresses = {lead.id: lead.address for lead in found.leads}
    rows = await fetch(stack, "mailer", "SELECT * FROM deliveries WHERE lead_id = ANY($1::uuid[])", list(addresses))
    found.deliveries = [
        DeliveryRow(
            id=str(row["id"]),
            lead_id=str(row["lead_id"]),
            address=addresses[str(row["lead_id"])],
            state=row["state"],
            ambiguous=row["ambiguous"],
            ambiguous_attempts=row["ambiguous_attempts"],
            message_id=row["message_id"],
            kind=row["kind"],
            asked_for=row["request_id"] is not None,
        )
        for row in rows
    ]


# A next attempt that should have been is none (docs/design.md, invariant 5, with the age set to 0). That the relay is
# away is no excuse here: evidence is gathered when all is healed.
_LEADS = """
    SELECT *, CASE WHEN outreach_next_at > clock_timestamp() THEN outreach_next_at END AS next_mail_at
    FROM leads WHERE id = ANY($1)
"""
_LEADS_SINCE = """
    SELECT DISTINCT lead_id FROM submissions WHERE received_at >= $1
    UNION SELECT id FROM leads WHERE created_at >= $1
"""
_DEAD_BODIES = """
    SELECT id, queue, word FROM dead_letters, unnest($2::bytea[]) word
    WHERE last_at >= $1 AND position(word IN body) > 0
"""
_WAITING_MAILS = """
    SELECT count(*) FROM deliveries WHERE first_queued_at >= $1 AND state IN ('queued', 'sending', 'deferred')
"""
_TIMELINE = "SELECT lead_id, type, actor, detail FROM timeline WHERE lead_id = ANY($1) ORDER BY id"
_AUDIT = "SELECT lead_id, action, detail FROM audit WHERE lead_id = ANY($1) AND result < 300 ORDER BY seq"
_INTAKE_LOADS = """
    SELECT assigned_to, count(*) FROM leads WHERE assigned_to IS NOT NULL AND status = ANY($1) GROUP BY assigned_to
"""
