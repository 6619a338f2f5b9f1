"""Notes, resending the mail, and why an attorney has a lead."""

import json
from datetime import UTC, datetime
from uuid import UUID, uuid4

import httpx
import pytest
from intake_api.use_cases.apply_decision import apply_assigned
from intake_api.use_cases.apply_outreach import apply_deferred, apply_failed, apply_reached_out
from service_chassis.envelope import Envelope
from shared_schemas.events import (
    AttorneyRef,
    Candidate,
    Explanation,
    LeadAssigned,
    LeadReachedOut,
    OutreachDeferred,
    OutreachFailed,
)

from .conftest import Intake
from .test_change_lead import LEADS, new_attorney, new_lead, said
from .test_events import reached


def envelope(type_: str) -> Envelope:
    return Envelope(
        queue="q",
        message_id=str(uuid4()),
        has_own_id=True,
        type=type_,
        trace_id=None,
        timestamp=datetime.now(UTC),
        rejections=0,
        is_suspect=False,
        is_redelivered=False,
        body=b"",
    )


async def test_notes_are_kept_in_order_and_said_to_nobody(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead = await new_lead(intake)
    for text in ("First line\r\nsecond line", "Call after 5"):
        assert (await staff.post(f"{LEADS}/{lead}/notes", json={"text": text})).status_code == 201
    notes = (await staff.get(f"{LEADS}/{lead}/notes")).json()["items"]
    assert [note["text"] for note in notes] == ["First line\nsecond line", "Call after 5"]
    assert all(note["author"].startswith("account:") for note in notes)
    timeline = (await staff.get(f"{LEADS}/{lead}/timeline")).text
    assert "note.written" in timeline
    assert "Call after" not in timeline + json.dumps(await said(intake))


@pytest.mark.parametrize("text", ["", "   ", "x" * 4001, "a\0b", "\x1b[31m", None, 3])
async def test_a_note_that_is_none_is_422(intake: Intake, staff: httpx.AsyncClient, text: object) -> None:
    lead = await new_lead(intake)
    answer = await staff.post(f"{LEADS}/{lead}/notes", json={"text": text})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "text")
    assert await intake.rows("lead_notes") == 0


async def test_a_resend_is_said_and_what_the_mailer_answers_counts_again(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    ada = await new_attorney(staff, intake)
    lead = await new_lead(intake, status="assigned", assigned_to=UUID(ada))
    delivery = uuid4()
    async with intake.sessions.begin() as session:
        failed = OutreachFailed(
            lead_id=UUID(lead), delivery_id=delivery, kind="welcome", reason="refused", smtp_code=550, attempts=1
        )
        await apply_failed(session, failed, envelope(OutreachFailed.type))
    assert (await staff.get(f"{LEADS}/{lead}")).json()["outreach_reason"] == "refused"
    answer = await staff.post(f"{LEADS}/{lead}/outreach")
    assert answer.status_code == 202
    [event] = await said(intake)
    assert (event["type"], event["kind"], event["attorney"]["id"]) == ("outreach.requested.v1", "welcome", ada)
    assert event["request_id"] == answer.json()["request_id"]
    async with intake.sessions.begin() as session:
        deferred = OutreachDeferred(
            lead_id=UUID(lead), delivery_id=delivery, kind="welcome", attempt=2, reason="greylisted", ambiguous=False
        )
        await apply_deferred(session, deferred, envelope(OutreachDeferred.type))
    assert (await staff.get(f"{LEADS}/{lead}")).json()["outreach_reason"] == "greylisted"


async def test_a_resend_names_the_sent_mail_only_while_it_is_known_to_be_the_last_word(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    ada = await new_attorney(staff, intake)
    lead = await new_lead(intake, status="assigned", assigned_to=UUID(ada))
    sent = reached(lead, ada)
    failed = OutreachFailed(lead_id=UUID(lead), delivery_id=uuid4(), kind="welcome", reason="expired", attempts=3)
    await staff.post(f"{LEADS}/{lead}/outreach")
    async with intake.sessions.begin() as session:
        await apply_reached_out(session, sent, envelope(LeadReachedOut.type))
    for _ in range(2):
        await staff.post(f"{LEADS}/{lead}/outreach")
    async with intake.sessions.begin() as session:
        await apply_failed(session, failed, envelope(OutreachFailed.type))
    await staff.post(f"{LEADS}/{lead}/outreach")
    assert [event["after_delivery_id"] for event in await said(intake)] == [None, str(sent.delivery_id), None, None]


@pytest.mark.parametrize("ends", ["reached_out", "outreach_failed"])
async def test_an_end_that_moves_a_lead_only_after_it_was_reopened_is_told_then_too(
    intake: Intake, staff: httpx.AsyncClient, ends: str
) -> None:
    ada = await new_attorney(staff, intake)
    lead = await new_lead(intake, status="declined", assigned_to=UUID(ada))
    sent = reached(lead, ada).model_copy(update={"sent_at": datetime.now(UTC)})
    failed = OutreachFailed(lead_id=UUID(lead), delivery_id=uuid4(), kind="welcome", reason="refused", attempts=1)

    async def hear_it_twice() -> None:
        for _ in range(2):
            async with intake.sessions.begin() as session:
                if ends == "reached_out":
                    await apply_reached_out(session, sent, envelope(LeadReachedOut.type))
                else:
                    await apply_failed(session, failed, envelope(OutreachFailed.type))

    await hear_it_twice()
    assert (await staff.patch(f"{LEADS}/{lead}", json={"status": "assigned"})).status_code == 200
    await hear_it_twice()
    assert (await staff.get(f"{LEADS}/{lead}")).json()["status"] == ends
    told = [row["type"] for row in (await staff.get(f"{LEADS}/{lead}/timeline")).json()["items"]]
    end = {"reached_out": "lead.reached-out", "outreach_failed": "outreach.failed"}[ends]
    assert told == ["lead.registered", end, "lead.status-changed", end]


@pytest.mark.parametrize("status", ["registered", "declined", "quarantined", "discarded"])
async def test_a_lead_without_owner_or_not_open_gets_no_mail(
    intake: Intake, staff: httpx.AsyncClient, status: str
) -> None:
    lead = await new_lead(intake, status=status)
    answer = await staff.post(f"{LEADS}/{lead}/outreach")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:problem:outreach-not-possible")
    assert await said(intake) == []


async def test_the_assignment_is_explained_until_a_person_decides_otherwise(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    ada, ben = await new_attorney(staff, intake), await new_attorney(staff, intake)
    lead = await new_lead(intake)
    url = f"{LEADS}/{lead}/assignment"
    nobody = (await staff.get(url)).json()
    assert (nobody["assigned_to"], nobody["decided_by"], nobody["explanation"]) == (None, None, None)
    why = Explanation(
        rule="least-busy-1",
        chosen_by="policy",
        eligible=1,
        candidates=(Candidate(attorney_id=UUID(ada), open_leads=3),),
    )
    async with intake.sessions.begin() as session:
        event = LeadAssigned(
            lead_id=UUID(lead), epoch=0, decision=1, outreach=True, first_name="J", last_name="D",
            email="j@example.com", attorney=AttorneyRef(id=UUID(ada), name="Ada", email="a@firm.test"),
            explanation=why, assigned_at=datetime.now(UTC),
        )  # fmt: skip
        await apply_assigned(session, event, envelope(LeadAssigned.type))
    explained = (await staff.get(url)).json()
    assert (explained["assigned_to"], explained["decided_by"]) == (ada, "assignment-worker")
    assert explained["explanation"]["candidates"][0] == {
        "attorney_id": ada, "open_leads": 3, "capacity": None, "last_assigned_at": None
    }  # fmt: skip
    await staff.patch(f"{LEADS}/{lead}", json={"assigned_to": ben})
    by_person = (await staff.get(url)).json()
    assert (by_person["assigned_to"], by_person["explanation"]) == (ben, None)
    assert by_person["decided_by"].startswith("account:")
