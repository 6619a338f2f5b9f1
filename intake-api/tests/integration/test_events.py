"""What others say of a lead, in every order (docs/design.md, Order)."""

import itertools
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from intake_api.exceptions import LeadNotFoundError
from intake_api.handlers import SUBSCRIPTIONS
from intake_api.use_cases.record_dead_letter import record_dead_letter
from service_chassis.envelope import Envelope
from shared_schemas.events import (
    AttorneyRef,
    Event,
    Explanation,
    LeadAssigned,
    LeadReachedOut,
    LeadWaiting,
    MessageDeadLettered,
    OutreachDeferred,
    OutreachFailed,
)

from .conftest import Intake
from .test_change_lead import new_attorney, new_lead

LEADS = "/api/v1/leads"
WHEN = datetime(2030, 1, 1, tzinfo=UTC)
DELIVERY = uuid4()
EXPLAINED = Explanation(rule="test", chosen_by="policy")
HANDLERS = {event: handler for one in SUBSCRIPTIONS for event, handler in one.handlers.items()}


async def hear(intake: Intake, *events: Event) -> None:
    for event in events:
        envelope = Envelope(
            queue="q", message_id=str(uuid4()), has_own_id=True, type=event.type, trace_id=None, timestamp=WHEN,
            rejections=0, is_suspect=False, is_redelivered=False, body=b"",
        )  # fmt: skip
        async with intake.sessions.begin() as session:
            await HANDLERS[type(event)](session, event, envelope)


def assigned(lead: str, attorney: str, *, epoch: int = 0, decision: int = 2) -> LeadAssigned:
    return LeadAssigned(
        lead_id=UUID(lead), epoch=epoch, decision=decision, outreach=True, first_name="A", last_name="B",
        email="a@example.com", attorney=AttorneyRef(id=UUID(attorney), name="Ada", email="ada@firm.test"),
        explanation=EXPLAINED, assigned_at=WHEN,
    )  # fmt: skip


def waiting(lead: str, *, epoch: int = 0, decision: int = 1) -> LeadWaiting:
    return LeadWaiting(
        lead_id=UUID(lead), epoch=epoch, decision=decision, reason="nobody_available", explanation=EXPLAINED
    )


def reached(lead: str, attorney: str) -> LeadReachedOut:
    return LeadReachedOut(
        lead_id=UUID(lead), delivery_id=DELIVERY, kind="welcome", attorney_id=UUID(attorney), message_id="<a@b>",
        attempts=2, ambiguous=False, sent_at=WHEN,
    )  # fmt: skip


def deferred(lead: str, attempt: int) -> OutreachDeferred:
    return OutreachDeferred(
        lead_id=UUID(lead), delivery_id=DELIVERY, kind="welcome", attempt=attempt, reason="transient", ambiguous=False,
        next_attempt_at=datetime(2030, 1, 1, attempt, tzinfo=UTC),
    )  # fmt: skip


def failed(lead: str) -> OutreachFailed:
    return OutreachFailed(
        lead_id=UUID(lead), delivery_id=DELIVERY, kind="welcome", reason="refused", smtp_code=550, attempts=1
    )


async def lead_and_attorney(intake: Intake, staff: httpx.AsyncClient) -> tuple[str, str]:
    return await new_lead(intake), await new_attorney(staff, intake)


async def show(staff: httpx.AsyncClient, lead: str) -> dict[str, Any]:
    body: dict[str, Any] = (await staff.get(f"{LEADS}/{lead}")).json()
    return body


async def test_every_order_of_waiting_assigned_and_reached_out_ends_the_same(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    ada = await new_attorney(staff, intake)
    for order in itertools.permutations(range(3)):
        lead = await new_lead(intake)
        events = [waiting(lead), assigned(lead, ada), reached(lead, ada)]
        await hear(intake, *(events[index] for index in order))
        body = await show(staff, lead)
        assert (body["status"], body["assigned_to"], body["reached_out_by"]) == ("reached_out", ada, ada), order
        assert (body["waiting_reason"], body["waiting_since"]) == (None, None), order
        timeline = (await staff.get(f"{LEADS}/{lead}/timeline")).json()["items"]
        assert {"lead.waiting", "lead.assigned", "lead.reached-out"} <= {entry["type"] for entry in timeline}


async def test_a_repeated_event_has_one_timeline_row(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead, ada = await lead_and_attorney(intake, staff)
    await hear(intake, assigned(lead, ada), assigned(lead, ada), reached(lead, ada), reached(lead, ada))
    timeline = (await staff.get(f"{LEADS}/{lead}/timeline")).json()["items"]
    assert [entry["type"] for entry in timeline] == ["lead.registered", "lead.assigned", "lead.reached-out"]


async def test_an_older_epoch_never_overwrites_a_persons_choice(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead, ada = await lead_and_attorney(intake, staff)
    ben = await new_attorney(staff, intake)
    await staff.patch(f"{LEADS}/{lead}", json={"assigned_to": ben})
    await hear(intake, assigned(lead, ada, epoch=0, decision=7))
    assert (await show(staff, lead))["assigned_to"] == ben
    await hear(intake, assigned(lead, ben, epoch=1, decision=8))
    timeline = (await staff.get(f"{LEADS}/{lead}/timeline")).json()["items"]
    applied = {
        entry["detail"]["decision"]: entry["detail"]["applied"]
        for entry in timeline
        if entry["type"] == "lead.assigned"
    }
    assert applied == {7: False, 8: True}


async def test_a_newer_waiting_takes_the_owner_away(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead, ada = await lead_and_attorney(intake, staff)
    await hear(intake, assigned(lead, ada, decision=1), waiting(lead, decision=2))
    body = await show(staff, lead)
    assert (body["status"], body["assigned_to"], body["waiting_reason"]) == ("registered", None, "nobody_available")
    assert body["waiting_since"] is not None


async def test_a_closed_lead_stays_closed_when_the_mail_went_anyway(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead, ada = await lead_and_attorney(intake, staff)
    await staff.patch(f"{LEADS}/{lead}", json={"status": "declined"})
    await hear(intake, reached(lead, ada))
    assert (await show(staff, lead))["status"] == "declined"
    reopened = await staff.patch(f"{LEADS}/{lead}", json={"status": "registered"})
    assert reopened.status_code == 200


async def test_a_closed_owned_lead_goes_on_as_assigned_after_a_late_mail(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    lead, ada = await lead_and_attorney(intake, staff)
    await hear(intake, assigned(lead, ada))
    await staff.patch(f"{LEADS}/{lead}", json={"status": "declined"})
    await hear(intake, reached(lead, ada))
    reopened = await staff.patch(f"{LEADS}/{lead}", json={"status": "assigned"})
    assert (reopened.status_code, reopened.json()["reached_out_by"]) == (200, None)


async def test_a_repeated_waiting_gives_an_ownerless_lead_its_reason_back(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    lead, ada = await lead_and_attorney(intake, staff)
    await hear(intake, assigned(lead, ada, decision=1))
    await staff.patch(f"{LEADS}/{lead}", json={"assigned_to": None})
    await hear(intake, waiting(lead, epoch=1, decision=2), reached(lead, ada))
    assert (await show(staff, lead))["waiting_reason"] is None
    await hear(intake, waiting(lead, epoch=1, decision=2))
    body = await show(staff, lead)
    assert (body["status"], body["assigned_to"], body["waiting_reason"]) == ("reached_out", None, "nobody_available")


async def test_who_a_person_named_is_kept(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead, ada = await lead_and_attorney(intake, staff)
    ben = await new_attorney(staff, intake)
    await staff.patch(f"{LEADS}/{lead}", json={"status": "reached_out", "reached_out_by": ben})
    await hear(intake, reached(lead, ada))
    assert (await show(staff, lead))["reached_out_by"] == ben


async def test_deferrals_apply_in_order_of_attempts_and_never_after_the_end(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    lead, ada = await lead_and_attorney(intake, staff)
    await hear(intake, assigned(lead, ada), deferred(lead, 2), deferred(lead, 1))
    assert (await show(staff, lead))["next_outreach_at"] == "2030-01-01T02:00:00Z"
    await hear(intake, reached(lead, ada), deferred(lead, 3))
    body = await show(staff, lead)
    assert (body["next_outreach_at"], body["status"]) == (None, "reached_out")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_a_failure_is_visible_and_a_later_success_wins(
    intake: Intake, staff: httpx.AsyncClient, order: tuple[int, int]
) -> None:
    lead, ada = await lead_and_attorney(intake, staff)
    await hear(intake, failed(lead))
    assert (await show(staff, lead))["status"] == "outreach_failed"
    lead = await new_lead(intake)
    events = [failed(lead), reached(lead, ada)]
    await hear(intake, *(events[index] for index in order))
    assert (await show(staff, lead))["status"] == "reached_out"


async def test_an_unknown_lead_is_an_error(intake: Intake, staff: httpx.AsyncClient) -> None:
    ada = await new_attorney(staff, intake)
    for event in (assigned(str(uuid4()), ada), waiting(str(uuid4())), failed(str(uuid4()))):
        with pytest.raises(LeadNotFoundError):
            await hear(intake, event)


async def test_a_dead_letter_is_one_row_and_a_new_failure_reopens_it(intake: Intake) -> None:
    dead = MessageDeadLettered(
        queue="mailer.outreach", message_id="m", attempts=5, error_type="KeyError", error_place="x:1", body=b"\xff\x00"
    )
    await hear(intake, dead)
    await intake.database.execute("UPDATE dead_letters SET status = 'replayed'")
    async with intake.sessions.begin() as session:
        await record_dead_letter(session, dead)
    row = await intake.database.fetchrow("SELECT * FROM dead_letters")
    assert (row["status"], row["times"], row["body"]) == ("open", 2, b"\xff\x00")
