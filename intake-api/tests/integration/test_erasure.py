"""S62: after an erasure intake-api holds nothing of the person but a tombstone; the receipt says when all is done."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from intake_api.declarative import Base
from intake_api.exceptions import LeadNotFoundError, StorageAwayError
from intake_api.subject_data import rows_of_lead
from intake_api.use_cases.finish_erasures import finish_erasures
from shared_schemas.events import LeadDataErased

from ..documents import DOCX, lead_json
from .conftest import Intake
from .test_change_lead import new_attorney, said
from .test_dead_letters import bury
from .test_events import assigned, hear, reached, waiting

LEADS = "/api/v1/leads"
CANARY = "canary7f3"
PERSON = {"first_name": f"Jo{CANARY}", "last_name": f"Doe{CANARY}", "email": f"Jo.{CANARY}@Example.com"}
WORKERS = ("assignment-worker", "mailer-worker")

BY_HAND = frozenset({"capture_log", "idempotency_keys", "dead_letters"})
"""Erased by `erase_lead` itself: they name a lead without a foreign key."""
OF_NO_PROSPECT = frozenset(
    {
        "accounts", "api_keys", "attorneys", "audit", "erasures", "login_sessions", "login_throttles",
        "rate_counters", "refresh_tokens", "spent_id_tokens",
    }
)  # fmt: skip
"""Hold nothing that a prospect typed."""


async def everything(intake: Intake) -> str:
    """Every row of every table, and every object, as text."""
    tables = await intake.database.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    texts = []
    for table in tables:
        rows = await intake.database.fetch(f"SELECT t.*, t::text AS whole FROM {table['tablename']} t")  # noqa: S608 - the catalogue's own names
        texts += [str([bytes(cell) if isinstance(cell, bytes) else cell for cell in row.values()]) for row in rows]
    texts += [path.read_bytes().decode("latin1") + str(path) for path in intake.stored()]
    return "\n".join(texts).lower()


async def submitted(intake: Intake, **fields: Any) -> str:
    body = {**lead_json(), **PERSON, **fields}
    answer = await intake.client.post(LEADS, json=body, headers={"Idempotency-Key": uuid4().hex})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def answer_for(intake: Intake, lead: str, *services: str) -> None:
    for service in services:
        await hear(intake, LeadDataErased(lead_id=UUID(lead), service=service, counts={"rows": 2}))


async def test_s62_everything_goes_and_the_receipt_fills_up(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead = await submitted(intake)
    await submitted(intake, **{**lead_json(DOCX), **PERSON})
    ada = await new_attorney(staff, intake)
    await hear(intake, assigned(lead, ada), reached(lead, ada))
    await bury(intake, lead_id=UUID(lead))
    await bury(intake, lead_id=None, body=f'{{"email": "{PERSON["email"].upper()}", "x": '.encode())
    await bury(intake, lead_id=None, body=f"not json at all {lead} \xff".encode("latin1"))
    kept = await bury(intake, lead_id=uuid4(), body=b'{"another": "lead"}')
    assert len(intake.stored()) == 2

    answer = await staff.delete(f"{LEADS}/{lead}")

    assert (answer.status_code, answer.headers["Location"]) == (202, f"/api/v1/erasures/{lead}")
    receipt = answer.json()
    assert (receipt["status"], receipt["waiting_for"], receipt["objects_left"]) == ("open", list(WORKERS), 2)
    counts = receipt["services"]["intake-api"]["counts"]
    assert (counts["leads"], counts["submissions"], counts["idempotency_keys"], counts["dead_letters"]) == (1, 2, 2, 3)
    assert [str(row["id"]) for row in await intake.database.fetch("SELECT id FROM dead_letters")] == [kept]
    assert [(event["type"], event["lead_id"], event["epoch"]) for event in await said(intake)] == [
        ("lead.erased.v1", lead, 1)
    ]
    assert [row["action"] for row in await intake.database.fetch("SELECT action FROM audit ORDER BY seq")][-1] == (
        "erase_lead"
    )

    await finish_erasures(intake.sessions, intake.store)
    assert intake.stored() == []
    await answer_for(intake, lead, *WORKERS)

    done = (await staff.get(f"/api/v1/erasures/{lead}")).json()
    assert (done["status"], done["waiting_for"], done["objects_left"], done["objects_deleted"]) == (
        "complete",
        [],
        0,
        2,
    )
    assert done["services"]["mailer-worker"]["counts"] == {"rows": 2}
    assert CANARY not in await everything(intake)
    assert (await staff.get(f"{LEADS}/{lead}")).status_code == 404


@pytest.mark.parametrize("order", [("objects", *WORKERS), (*WORKERS, "objects")])
async def test_the_receipt_is_complete_with_the_last_of_all_in_any_order(
    intake: Intake, staff: httpx.AsyncClient, order: tuple[str, ...]
) -> None:
    lead = await submitted(intake)
    await staff.delete(f"{LEADS}/{lead}")
    seen = []
    for what in order:
        if what == "objects":
            await finish_erasures(intake.sessions, intake.store)
        else:
            await answer_for(intake, lead, what)
        seen.append((await staff.get(f"/api/v1/erasures/{lead}")).json()["status"])
    assert seen == ["open", "open", "complete"]


async def test_s62_the_log_of_attempts_forgets_the_address_and_keeps_the_others(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    lead = await submitted(intake)
    await submitted(intake, email=PERSON["email"].upper())
    other = await submitted(intake, email="somebody.else@example.com")
    refused = await intake.client.post(LEADS, json={**lead_json(), **PERSON, "resume_filename": "x.exe"})
    assert refused.status_code == 415
    hashes = "SELECT recipient_hash FROM capture_log ORDER BY id"
    first, again, others, nobody = [row["recipient_hash"] for row in await intake.database.fetch(hashes)]
    assert (first == again, first != others, nobody) == (True, True, None)
    receipt = (await staff.delete(f"{LEADS}/{lead}")).json()
    assert receipt["services"]["intake-api"]["counts"]["capture_log"] == 2
    assert [row["recipient_hash"] for row in await intake.database.fetch(hashes)] == [others, None]
    assert (await staff.get(f"{LEADS}/{other}")).status_code == 200


async def unsent_of(intake: Intake) -> list[str]:
    rows = await intake.database.fetch("SELECT lead_id FROM outbox WHERE type = 'lead.registered.v1'")
    return sorted(str(row["lead_id"]) for row in rows)


async def test_s62_what_other_leads_have_unsent_or_dead_stays_whosever_address_it_holds(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    lead = await submitted(intake, email="an@x.org")
    longer = await submitted(intake, email="susan@x.org")
    target = await submitted(intake, email="target@x.org")
    await staff.post(f"{LEADS}/{lead}/merge", json={"into": target})
    again = await submitted(intake, email="an@x.org")
    await staff.post("/api/v1/attorneys", json={"name": "Ann", "email": "an@x.org"})
    kept = {
        await bury(intake, lead_id=UUID(again), body=b'{"email": "an@x.org"}'),
        await bury(intake, lead_id=UUID(target), body=f'{{"merged": "{lead}"}}'.encode()),
        await bury(intake, lead_id=None, body=b'{"email": "susan@x.org", "cc": "an@x.org.uk", "b": "j.an@x.org"}'),
    }
    for body in (b"to <An@X.org>.", rb'{"text": "write\nan@x.org"}', "x \u201can@x.org\u201d".encode()):
        await bury(intake, lead_id=None, body=body)
    assert await unsent_of(intake) == sorted([lead, longer, target, again])

    assert (await staff.delete(f"{LEADS}/{lead}")).status_code == 202

    assert await unsent_of(intake) == sorted([longer, target, again])
    changed = await intake.database.fetchval("SELECT count(*) FROM outbox WHERE type = 'attorney.changed.v1'")
    assert changed == 1
    assert {str(row["id"]) for row in await intake.database.fetch("SELECT id FROM dead_letters")} == kept


async def test_a_chain_of_merges_goes_whatever_the_order_of_ids(intake: Intake, staff: httpx.AsyncClient) -> None:
    emails = [f"{name}@example.com" for name in ("one", "two", "three")]
    first, second, third = sorted([await submitted(intake, email=email) for email in emails])
    for source, target in ((first, second), (second, third)):
        merged = await staff.post(f"{LEADS}/{source}/merge", json={"into": target})
        assert merged.status_code == 200, merged.text
    answer = await staff.delete(f"{LEADS}/{third}")
    assert answer.status_code == 202, answer.text
    assert (await intake.rows("leads"), await intake.rows("erasures")) == (0, 3)


async def test_twice_is_the_same_receipt(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead = await submitted(intake)
    first = await staff.delete(f"{LEADS}/{lead}")
    again = await staff.delete(f"{LEADS}/{lead}")
    assert (again.status_code, again.json()) == (202, first.json())
    assert len(await said(intake)) == 1
    both = await asyncio.gather(*(staff.delete(f"{LEADS}/{lead}") for _ in range(5)))
    assert {one.status_code for one in both} == {202}
    unknown = await staff.delete(f"{LEADS}/{uuid4()}")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:problem:lead-not-found")


async def test_late_events_find_the_tombstone(intake: Intake, staff: httpx.AsyncClient) -> None:
    ada = await new_attorney(staff, intake)
    lead = await submitted(intake)
    await staff.delete(f"{LEADS}/{lead}")
    await hear(intake, waiting(lead), assigned(lead, ada, epoch=9), reached(lead, ada))
    await answer_for(intake, lead, *WORKERS, *WORKERS)
    assert (await intake.rows("leads"), await intake.rows("timeline")) == (0, 0)
    with pytest.raises(LeadNotFoundError):
        await hear(intake, waiting(str(uuid4())))
    with pytest.raises(LeadNotFoundError):
        await answer_for(intake, str(uuid4()), "mailer-worker")


async def test_a_first_answer_counts(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead = await submitted(intake)
    await staff.delete(f"{LEADS}/{lead}")
    await answer_for(intake, lead, "mailer-worker")
    await hear(intake, LeadDataErased(lead_id=UUID(lead), service="mailer-worker", counts={"rows": 0}))
    receipt = (await staff.get(f"/api/v1/erasures/{lead}")).json()
    assert receipt["services"]["mailer-worker"]["counts"] == {"rows": 2}


async def test_it_is_said_again_while_somebody_keeps_silent(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead = await submitted(intake)
    await staff.delete(f"{LEADS}/{lead}")

    async def events_of_a_round(*, overdue: bool) -> int:
        await intake.database.execute("DELETE FROM outbox")
        if overdue:
            await intake.database.execute("UPDATE erasures SET say_again_at = now()")
        await finish_erasures(intake.sessions, intake.store)
        return len(await said(intake))

    assert await events_of_a_round(overdue=False) == 0
    assert await events_of_a_round(overdue=True) == 1
    minutes = "SELECT round(extract(epoch FROM say_again_at - now()) / 60)::int FROM erasures"
    assert await intake.database.fetchval(minutes) == 30
    await answer_for(intake, lead, *WORKERS)
    assert await events_of_a_round(overdue=True) == 0


async def test_objects_that_are_not_deleted_keep_the_receipt_open(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead = await submitted(intake)
    await staff.delete(f"{LEADS}/{lead}")
    await answer_for(intake, lead, *WORKERS)
    assert (await staff.get(f"/api/v1/erasures/{lead}")).json()["status"] == "open"
    for path in intake.stored():
        path.unlink()  # gone already: deleting it is no error
    await finish_erasures(intake.sessions, intake.store)
    assert (await staff.get(f"/api/v1/erasures/{lead}")).json()["status"] == "complete"


async def test_an_object_that_cannot_be_deleted_keeps_no_other_erasure_open(
    intake: Intake, staff: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, other = await submitted(intake), await submitted(intake, email=f"other.{CANARY}@example.com")
    for lead in (stuck, other):
        await staff.delete(f"{LEADS}/{lead}")
        await answer_for(intake, lead, "mailer-worker")
    await answer_for(intake, other, "assignment-worker")
    kept = await intake.database.fetchval("SELECT object_keys->>0 FROM erasures WHERE lead_id = $1", UUID(stuck))
    delete = intake.store.delete

    async def refuse_one(key: str) -> None:
        if key == kept:
            raise StorageAwayError
        await delete(key)

    monkeypatch.setattr(intake.store, "delete", refuse_one)
    await intake.database.execute("DELETE FROM outbox")
    await intake.database.execute("UPDATE erasures SET say_again_at = now() WHERE lead_id = $1", UUID(stuck))
    await finish_erasures(intake.sessions, intake.store)
    statuses = [(await staff.get(f"/api/v1/erasures/{one}")).json()["status"] for one in (stuck, other)]
    assert statuses == ["open", "complete"]
    assert [(event["type"], event["lead_id"]) for event in await said(intake)] == [("lead.erased.v1", stuck)]


async def test_a_dead_letter_of_an_erased_lead_keeps_no_content(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead = await submitted(intake)
    await staff.delete(f"{LEADS}/{lead}")
    late = await bury(intake, lead_id=UUID(lead), body=f'{{"email": "{PERSON["email"]}"}}'.encode())
    poison = await bury(intake, lead_id=None, body=f'{{"lead_id": "{lead}", {PERSON["email"]}'.encode())
    failed = await bury(intake, lead_id=UUID(lead), message_type="lead.erased.v1", body=b"{}")
    rows = {str(row["id"]): row for row in await intake.database.fetch("SELECT * FROM dead_letters")}
    assert [(rows[one]["status"], rows[one]["body"]) for one in (late, poison, failed)] == [
        ("discarded", b""), ("discarded", b""), ("open", b""),
    ]  # fmt: skip
    refused = await staff.post(f"/api/v1/dead-letters/{failed}/replay")
    assert refused.status_code == 409
    assert CANARY not in (await everything(intake)).replace(str(intake.objects).lower(), "").split("%pdf")[0]


async def test_a_new_submission_of_the_address_is_a_new_lead(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead = await submitted(intake)
    await staff.delete(f"{LEADS}/{lead}")
    assert await submitted(intake) != lead


async def test_what_was_merged_into_a_lead_goes_with_it(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead, other = await submitted(intake), await submitted(intake, email=f"other.{CANARY}@example.com")
    merged = await staff.post(f"{LEADS}/{other}/merge", json={"into": lead})
    assert merged.status_code == 200, merged.text
    receipt = (await staff.delete(f"{LEADS}/{lead}")).json()
    assert receipt["objects_left"] == 2
    await finish_erasures(intake.sessions, intake.store)
    await answer_for(intake, lead, *WORKERS)
    assert (await staff.get(f"/api/v1/erasures/{lead}")).json()["status"] == "open", "the other's is"
    await answer_for(intake, other, *WORKERS)
    statuses = [(await staff.get(f"/api/v1/erasures/{one}")).json()["status"] for one in (lead, other)]
    assert statuses == ["complete", "complete"]
    assert CANARY not in await everything(intake)


async def test_a_legal_hold_keeps_a_lead(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead = await submitted(intake)
    held = await staff.put(f"{LEADS}/{lead}/legal-hold", json={"reference": "Matter 42"})
    assert (held.status_code, held.json()["reference"]) == (200, "Matter 42")
    refused = await staff.delete(f"{LEADS}/{lead}")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:problem:legal-hold")
    assert (await staff.delete(f"{LEADS}/{lead}/legal-hold")).status_code == 204
    assert (await staff.delete(f"{LEADS}/{lead}")).status_code == 202
    assert (await staff.put(f"{LEADS}/{lead}/legal-hold", json={"reference": "x"})).status_code == 404


async def test_an_erasure_and_submissions_at_once_lose_no_submission(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead = await submitted(intake)
    erasing = asyncio.create_task(staff.delete(f"{LEADS}/{lead}"))
    await asyncio.gather(*(submitted(intake) for _ in range(5)))
    answer = await erasing
    assert answer.status_code == 202
    erased = answer.json()["services"]["intake-api"]["counts"]["submissions"]
    assert await intake.rows("submissions") == 6 - erased
    assert await intake.rows("leads") == (1 if erased < 6 else 0)


def test_s62_every_table_is_erased_or_holds_nothing_of_a_prospect() -> None:
    """A table added later must be named here, or refer to `leads`, or its rows would outlive an erasure."""
    followed = {table.name for table, _ in rows_of_lead(uuid4())}
    assert {"leads", "submissions", "timeline", "repairs", "legal_holds"} <= followed
    assert set(Base.metadata.tables) - followed - BY_HAND - OF_NO_PROSPECT == set()
