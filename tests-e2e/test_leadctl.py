"""leadctl against a running product: what an operator sees, repairs and rebuilds, and the exit codes for programs."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
from e2e import evidence
from e2e.checker import Scenario
from e2e.clients import submit_all
from e2e.eventually import eventually
from e2e.mailboxes import Mailboxes
from e2e.operator import leadctl
from e2e.stack import Stack

EMPTIED = ("assignments", "leads", "attorneys", "outbox", "inbox", "failures", "delivery_marks")


async def bury(stack: Stack, queue: str, *, type_: str = "lead.unheard-of.v1", body: bytes = b"{}") -> str:
    """Put a message that cannot be understood into a queue; give the id of the dead letter it becomes."""
    message_id = str(uuid.uuid4())
    connection = await aio_pika.connect(stack.run["amqp_url"])
    async with connection:
        channel = await connection.channel()
        message = aio_pika.Message(body, message_id=message_id, type=type_, content_type="application/json")
        await channel.default_exchange.publish(message, routing_key=queue)

    async def row() -> Any:
        query = "SELECT id FROM dead_letters WHERE message_id = $1 AND status = 'open'"
        return await evidence.fetch_value(stack, "intake", query, message_id)

    return str(await eventually(row, what="the dead letter is on record"))


async def aged_lead(stack: Stack, **columns: object) -> str:
    """A lead that intake-api has and nobody has heard of, old enough to be stuck."""
    lead_id = uuid.uuid4()
    async with evidence.database(stack, "intake") as intake:
        await intake.execute(
            "INSERT INTO leads (id, first_name, last_name, email, email_key, status, trace_id, updated_at)"
            " VALUES ($1, 'Una', 'Heard', $2, $2, 'registered', $3, now() - interval '1 hour')",
            lead_id,
            f"una.{lead_id.hex}@example.com",
            uuid.uuid4().hex,
        )
    return str(lead_id)


@asynccontextmanager
async def no_reconciler(stack: Stack) -> AsyncIterator[None]:
    """Holds the lock of the periodic round, so that only the operator repairs."""
    async with evidence.database(stack, "intake") as intake:
        await intake.execute("SELECT pg_advisory_lock(hashtextextended('reconcile', 0))")
        yield


async def discard_all(stack: Stack) -> None:
    for item in (await leadctl(stack, "dead-letters", "list", "--json")).json["items"]:
        await leadctl(stack, "dead-letters", "discard", item["id"], "--reason", "made by a test")


async def test_dead_letters_are_listed_shown_replayed_and_discarded(stack: Stack) -> None:
    letter = await bury(stack, "mailer.outreach", body=b'{"x": 1}')
    try:
        listed = await leadctl(stack, "dead-letters", "list", "--queue", "mailer.outreach", "--json")
        assert listed.code == 1, "an open dead letter is trouble"
        assert letter in [item["id"] for item in listed.json["items"]]
        table = await leadctl(stack, "dead-letters", "list")
        assert (table.code, letter in table.output) == (1, True)

        shown = await leadctl(stack, "dead-letters", "show", letter, "--json")
        assert (shown.code, shown.json["body_base64"], shown.json["queue"]) == (0, "eyJ4IjogMX0=", "mailer.outreach")

        # It fails again, and its row is open again: a replay has one effect, or the same failure.
        replayed = await leadctl(stack, "dead-letters", "replay", letter, "--json")
        assert (replayed.code, replayed.json["status"]) == (0, "replayed")

        async def again() -> dict[str, Any]:
            seen: dict[str, Any] = (await leadctl(stack, "dead-letters", "show", letter, "--json")).json
            return seen

        await eventually(again, lambda seen: (seen["status"], seen["times"]) == ("open", 2), every=0.5)
        every = await leadctl(stack, "dead-letters", "replay", "--queue", "mailer.outreach", "--json")
        assert every.json["replayed"] >= 1
        await eventually(again, lambda seen: (seen["status"], seen["times"]) == ("open", 3), every=0.5)

        done = await leadctl(stack, "dead-letters", "discard", letter, "--reason", "made by a test", "--json")
        assert (done.code, done.json["status"], done.json["resolution"]) == (0, "discarded", "made by a test")
    finally:
        await discard_all(stack)
    assert (await leadctl(stack, "dead-letters", "list")).code == 0


async def test_what_is_asked_wrongly_is_one_line_and_exit_2(stack: Stack) -> None:
    absent = str(uuid.uuid4())
    wrong = {
        ("dead-letters", "show", absent): "404",
        ("dead-letters", "replay"): "say which",
        ("dead-letters", "list", "--status", "lost"): "422",
        ("stuck", "explain", absent): "404",
        ("stuck", "repair", "not-a-uuid"): "422",
        ("reconcile", "--rebuild", "mailer"): "--rebuild takes: assignment",
        ("privacy", "receipt", absent): "404",
    }
    for arguments, words in wrong.items():
        answer = await leadctl(stack, *arguments)
        assert (answer.code, answer.output) == (2, ""), arguments
        assert answer.errors.startswith("leadctl: "), answer.errors
        assert words in answer.errors
        assert len(answer.errors.strip().splitlines()) == 1, answer.errors


async def test_who_is_not_let_in_is_told_so(stack: Stack) -> None:
    wrong = await leadctl(stack, "stuck", "list", LEADCTL_PASSWORD="not the password")
    nobody = await leadctl(stack, "stuck", "list", LEADCTL_EMAIL="")
    away = await leadctl(stack, "stuck", "list", LEADCTL_API_URL="http://127.0.0.1:9")
    assert (wrong.code, nobody.code, away.code) == (2, 2, 2)
    assert "401" in wrong.errors
    assert "LEADCTL_TOKEN" in nobody.errors
    assert "does not answer" in away.errors


async def test_a_stuck_lead_is_listed_explained_and_repaired(stack: Stack, mailboxes: Mailboxes) -> None:
    async with no_reconciler(stack):
        lead = await aged_lead(stack)

        listed = await leadctl(stack, "stuck", "list", "--json")
        assert listed.code == 1
        assert [(item["lead_id"], item["lacks"]) for item in listed.json["items"]] == [(lead, "owner")]

        explained = await leadctl(stack, "stuck", "explain", lead, "--json")
        assert explained.code == 0
        assert "LeadRegistered was not heard" in explained.json["stopped_at"]
        assert explained.json["assignment"] == "knows no such lead"

        dry = await leadctl(stack, "reconcile", "--dry-run", "--json")
        assert (dry.code, [item["lead_id"] for item in dry.json["items"]]) == (1, [lead])
        assert (await leadctl(stack, "stuck", "list")).code == 1, "a dry run repairs nothing"

        repaired = await leadctl(stack, "stuck", "repair", lead, "--json")
        assert (repaired.code, repaired.json) == (0, {"repaired": True})

        async def status() -> str:
            return str(await evidence.fetch_value(stack, "intake", "SELECT status FROM leads WHERE id = $1", lead))

        await eventually(status, lambda seen: seen == "reached_out", what="the lead goes on")
        assert (await leadctl(stack, "stuck", "list")).code == 0
        assert (await leadctl(stack, "stuck", "repair", lead)).code == 1, "it is not stuck any more"
        assert "not stopped" in (await leadctl(stack, "stuck", "explain", lead, "--json")).json["stopped_at"]
    address = await evidence.fetch_value(stack, "intake", "SELECT email FROM leads WHERE id = $1", lead)
    assert len(await mailboxes.read(address)) == 1


async def test_reconcile_repairs_every_stuck_lead(stack: Stack) -> None:
    async with no_reconciler(stack):
        leads = {await aged_lead(stack) for _ in range(3)}
        done = await leadctl(stack, "reconcile", "--json")
        assert (done.code, {item["lead_id"] for item in done.json["items"] if item["repaired"]}) == (0, leads)

        async def left() -> list[Any]:
            items: list[Any] = (await leadctl(stack, "stuck", "list", "--json")).json["items"]
            return items

        await eventually(left, lambda seen: not seen, every=0.5, what="nothing is stuck")


async def _assigned(stack: Stack) -> dict[str, str]:
    rows = await evidence.fetch(stack, "assignment", "SELECT lead_id, attorney_id FROM leads WHERE state = 'assigned'")
    return {str(row["lead_id"]): str(row["attorney_id"]) for row in rows}


async def _roster(stack: Stack) -> dict[str, tuple[bool, int | None, int]]:
    rows = await evidence.fetch(stack, "assignment", "SELECT id, available, capacity, open_leads FROM attorneys")
    return {str(row["id"]): (row["available"], row["capacity"], row["open_leads"]) for row in rows}


async def test_an_emptied_assignment_database_is_made_whole_again(stack: Stack, scenario: Scenario) -> None:
    """Workload counters and roster are whole, no lead changes hands, nobody gets a second mail."""
    await submit_all(stack, scenario.log, scenario.crowd.people(12), clients=4)
    await scenario.settle()
    before, roster = await _assigned(stack), await _roster(stack)
    assert set(scenario.log.accepted().values()) <= before.keys()

    async with evidence.database(stack, "assignment") as assignment, assignment.transaction():
        for table in EMPTIED:
            await assignment.execute(f"DELETE FROM {table}")  # noqa: S608 - names from above
    assert (await _assigned(stack), await _roster(stack)) == ({}, {})

    said = await leadctl(stack, "reconcile", "--rebuild", "assignment", "--json")

    assert (said.code, said.json["attorneys"]) == (0, len(roster))
    assert said.json["leads"] >= len(before)
    await eventually(lambda: _assigned(stack), lambda seen: seen == before, what="every lead has its owner again")
    await eventually(lambda: _roster(stack), lambda seen: seen == roster, what="the roster is whole again")
    judged = await scenario.verify()
    assert judged.figures["mails"] == 12
