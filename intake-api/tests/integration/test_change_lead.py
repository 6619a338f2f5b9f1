"""PATCH /leads/{id}: who may move a lead where, and what others hear of it."""

import json
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from ..documents import lead_json
from .conftest import Intake

LEADS = "/api/v1/leads"


async def new_lead(intake: Intake, **columns: object) -> str:
    answer = await intake.client.post(LEADS, json=lead_json(email=f"{uuid4()}@example.com"))
    lead_id = str(answer.json()["id"])
    for column, value in columns.items():
        await intake.database.execute(f"UPDATE leads SET {column} = $1 WHERE id = $2", value, UUID(lead_id))  # noqa: S608 - columns named by the tests below
    await intake.database.execute("DELETE FROM outbox")
    return lead_id


async def new_attorney(staff: httpx.AsyncClient, intake: Intake, **fields: Any) -> str:
    body = {"name": "Ada", "email": f"{uuid4()}@firm.test", **fields}
    answer = await staff.post("/api/v1/attorneys", json=body)
    assert answer.status_code == 201, answer.text
    await intake.database.execute("DELETE FROM outbox")
    return str(answer.json()["id"])


async def said(intake: Intake) -> list[dict[str, Any]]:
    rows = await intake.database.fetch("SELECT type, body FROM outbox ORDER BY id")
    return [{"type": row["type"], **json.loads(row["body"])} for row in rows]


async def test_staff_say_who_reached_out(intake: Intake, staff: httpx.AsyncClient) -> None:
    ada = await new_attorney(staff, intake)
    lead = await new_lead(intake)
    answer = await staff.patch(f"{LEADS}/{lead}", json={"status": "reached_out", "reached_out_by": ada})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["reached_out_by"], body["assigned_to"]) == ("reached_out", ada, ada)
    events = await said(intake)
    assert [event["type"] for event in events] == ["lead.reassigned.v1", "outreach.cancelled.v1"]
    assert (events[0]["epoch"], events[0]["outreach"], events[0]["attorney"]["id"]) == (1, False, ada)


async def test_the_owner_is_who_reached_out_when_nobody_is_named(intake: Intake, staff: httpx.AsyncClient) -> None:
    ada = await new_attorney(staff, intake)
    lead = await new_lead(intake, status="assigned", assigned_to=UUID(ada))
    answer = await staff.patch(f"{LEADS}/{lead}", json={"status": "reached_out"})
    assert answer.json()["reached_out_by"] == ada
    assert [event["type"] for event in await said(intake)] == ["outreach.cancelled.v1"]


async def test_nobody_to_name_is_422(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead = await new_lead(intake)
    answer = await staff.patch(f"{LEADS}/{lead}", json={"status": "reached_out"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "reached_out_by")
    assert await said(intake) == []


async def test_the_status_it_has_is_no_move(intake: Intake, staff: httpx.AsyncClient) -> None:
    ada, ben = await new_attorney(staff, intake), await new_attorney(staff, intake)
    lead = await new_lead(intake, status="reached_out", assigned_to=UUID(ada), reached_out_by=UUID(ada))
    same = await staff.patch(f"{LEADS}/{lead}", json={"status": "reached_out"})
    changed = await staff.patch(f"{LEADS}/{lead}", json={"status": "reached_out", "reached_out_by": ben})
    assert (same.status_code, same.json()["reached_out_by"]) == (200, ada)
    assert (changed.json()["reached_out_by"], changed.json()["assigned_to"]) == (ben, ada)
    assert await said(intake) == []


async def test_a_new_owner_is_set_at_once_and_said(intake: Intake, staff: httpx.AsyncClient) -> None:
    ada = await new_attorney(staff, intake, available=False, capacity=0)
    lead = await new_lead(intake, waiting_reason="nobody_available")
    answer = await staff.patch(f"{LEADS}/{lead}", json={"assigned_to": ada})
    body = answer.json()
    assert (body["status"], body["assigned_to"], body["waiting_reason"]) == ("assigned", ada, None)
    [event] = await said(intake)
    assert (event["type"], event["epoch"], event["outreach"]) == ("lead.reassigned.v1", 1, True)
    timeline = (await staff.get(f"{LEADS}/{lead}/timeline")).json()["items"]
    assert (timeline[-1]["detail"]["was_available"], timeline[-1]["detail"]["was_full"]) == (False, True)


async def test_the_same_owner_is_no_change(intake: Intake, staff: httpx.AsyncClient) -> None:
    ada = await new_attorney(staff, intake)
    lead = await new_lead(intake, status="assigned", assigned_to=UUID(ada))
    assert (await staff.patch(f"{LEADS}/{lead}", json={"assigned_to": ada})).status_code == 200
    assert await said(intake) == []


async def test_null_owner_asks_for_a_new_choice(intake: Intake, staff: httpx.AsyncClient) -> None:
    ada = await new_attorney(staff, intake)
    lead = await new_lead(intake, status="assigned", assigned_to=UUID(ada))
    body = (await staff.patch(f"{LEADS}/{lead}", json={"assigned_to": None})).json()
    assert (body["status"], body["assigned_to"]) == ("registered", None)
    [event] = await said(intake)
    assert (event["type"], event["attorney"]) == ("lead.reassigned.v1", None)


async def test_owner_and_status_in_one_request_reassign_first(intake: Intake, staff: httpx.AsyncClient) -> None:
    ada, ben = await new_attorney(staff, intake), await new_attorney(staff, intake)
    lead = await new_lead(intake, status="assigned", assigned_to=UUID(ada))
    body = (await staff.patch(f"{LEADS}/{lead}", json={"assigned_to": ben, "status": "reached_out"})).json()
    assert (body["assigned_to"], body["reached_out_by"], body["status"]) == (ben, ben, "reached_out")


async def test_closing_and_reopening(intake: Intake, staff: httpx.AsyncClient) -> None:
    ada = await new_attorney(staff, intake)
    lead = await new_lead(intake, status="assigned", assigned_to=UUID(ada))
    assert (await staff.patch(f"{LEADS}/{lead}", json={"status": "declined"})).status_code == 200
    events = await said(intake)
    assert [(event["type"], event["epoch"]) for event in events] == [
        ("lead.closed.v1", 1),
        ("outreach.cancelled.v1", 1),
    ]
    loads = {one["id"]: one["open_leads"] for one in (await staff.get("/api/v1/attorneys")).json()["items"]}
    assert loads[ada] == 0
    await intake.database.execute("DELETE FROM outbox")
    reopened = await staff.patch(f"{LEADS}/{lead}", json={"status": "assigned"})
    assert reopened.json()["status"] == "assigned"
    [event] = await said(intake)
    assert (event["type"], event["epoch"], event["attorney"]["id"], event["outreach"]) == (
        "lead.reopened.v1", 2, ada, True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "patch", "legal"),
    [
        ({"status": "registered"}, {"status": "retained"}, ["assigned", "reached_out", "declined"]),
        ({"status": "assigned"}, {"status": "registered"}, ["reached_out", "declined"]),
        ({"status": "reached_out"}, {"status": "assigned"}, ["retained", "declined"]),
        ({"status": "declined"}, {"status": "retained"}, ["registered"]),
        ({"status": "declined"}, {"assigned_to": None}, ["registered"]),
        ({"status": "discarded"}, {"status": "registered"}, []),
    ],
)
async def test_an_illegal_move_is_409_and_names_the_legal_ones(
    intake: Intake, staff: httpx.AsyncClient, columns: dict[str, str], patch: dict[str, Any], legal: list[str]
) -> None:
    lead = await new_lead(intake, **columns)
    answer = await staff.patch(f"{LEADS}/{lead}", json=patch)
    assert (answer.status_code, answer.json()["legal_statuses"]) == (409, legal)
    assert await said(intake) == []


@pytest.mark.parametrize(
    ("patch", "fields"),
    [
        ({}, {"body"}),
        ({"status": "lost"}, {"status"}),
        ({"assigned_to": "x"}, {"assigned_to"}),
        ({"status": "lost", "reached_out_by": 3}, {"status", "reached_out_by"}),
        ({"status": "reached_out", "reached_out_by": str(uuid4())}, {"reached_out_by"}),
        ({"assigned_to": str(uuid4())}, {"assigned_to"}),
        ({"epoch": 9}, {"epoch"}),
        ({"status": "assigned"}, {"assigned_to"}),
    ],
)
async def test_bad_changes_are_422_naming_the_fields(
    intake: Intake, staff: httpx.AsyncClient, patch: dict[str, Any], fields: set[str]
) -> None:
    lead = await new_lead(intake)
    answer = await staff.patch(f"{LEADS}/{lead}", json=patch)
    assert answer.status_code == 422, answer.text
    assert {error["field"] for error in answer.json()["errors"]} == fields


async def test_an_unknown_lead_is_404_and_a_bad_id_422(staff: httpx.AsyncClient) -> None:
    assert (await staff.patch(f"{LEADS}/{uuid4()}", json={"status": "declined"})).status_code == 404
    assert (await staff.patch(f"{LEADS}/seven", json={"status": "declined"})).status_code == 422
