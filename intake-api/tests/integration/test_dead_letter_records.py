"""What is kept of a message that was given up: whose it is, and nothing that keeps it from being kept."""

import json
from uuid import UUID, uuid4

import httpx
from intake_api.use_cases.reconcile import find_stuck, reconcile
from shared_schemas.events import LeadRegistered

from .conftest import Intake
from .test_change_lead import new_lead
from .test_dead_letters import DEAD, bury

STUCK_AFTER_S = 900.0


async def test_a_message_that_kills_belongs_to_its_lead_which_is_not_stated_again(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    lead, neighbour = await new_lead(intake), await new_lead(intake)
    await intake.database.execute("UPDATE leads SET updated_at = now() - interval '16 minutes'")
    body = json.dumps({"registered_by": str(uuid4()), "lead_id": lead, "merged_into": neighbour}).encode()
    letter = await bury(
        intake, queue="assignment.leads", message_type=LeadRegistered.type, lead_id=None, error_type="ProcessDied",
        body=body,
    )  # fmt: skip
    assert await reconcile(intake.sessions, STUCK_AFTER_S) == 1
    said = await intake.database.fetch("SELECT lead_id FROM outbox")
    assert [row["lead_id"] for row in said] == [UUID(neighbour)]
    async with intake.sessions() as session:
        held = {str(one.lead_id): one.held_back_by for one in await find_stuck(session, STUCK_AFTER_S)}
    assert held[lead] == "an open dead letter"
    listed = (await staff.get(DEAD, params={"lead_id": lead})).json()["items"]
    assert [item["id"] for item in listed] == [letter]


async def test_a_message_that_names_no_lead_of_ours_belongs_to_none(intake: Intake) -> None:
    await new_lead(intake)
    await bury(intake, lead_id=None, body=json.dumps({"attorney_id": str(uuid4())}).encode())
    assert await intake.database.fetchval("SELECT lead_id FROM dead_letters") is None
