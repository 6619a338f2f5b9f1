"""Attorneys: every change is said to the roster, by version."""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest
from intake_api.use_cases.change_attorney import restate_attorneys

from .conftest import Intake

ATTORNEYS = "/api/v1/attorneys"
ADA = {"name": "Ada Marlowe", "email": "Ada@firm.test"}


async def said(intake: Intake) -> list[dict[str, Any]]:
    return [json.loads(row["body"]) for row in await intake.database.fetch("SELECT body FROM outbox ORDER BY id")]


async def test_a_new_attorney_is_shown_and_said(intake: Intake, staff: httpx.AsyncClient) -> None:
    answer = await staff.post(ATTORNEYS, json={**ADA, "capacity": 3})
    body = answer.json()
    assert answer.status_code == 201
    assert (body["email"], body["available"], body["capacity"], body["open_leads"]) == ("ada@firm.test", True, 3, 0)
    [event] = await said(intake)
    assert (event["attorney_id"], event["version"], event["capacity"]) == (body["id"], 1, 3)
    assert (await staff.get(answer.headers["location"])).json() == body
    assert (await staff.get(ATTORNEYS)).json()["items"] == [body]


async def test_a_change_raises_the_version_and_no_change_says_nothing(intake: Intake, staff: httpx.AsyncClient) -> None:
    ada = (await staff.post(ATTORNEYS, json=ADA)).json()["id"]
    absence = {"starts_at": "2030-01-01T00:00:00Z", "ends_at": "2030-01-08T00:00:00Z"}
    await staff.patch(f"{ATTORNEYS}/{ada}", json={"available": False, "absences": [absence]})
    await staff.patch(f"{ATTORNEYS}/{ada}", json={"available": False})
    events = await said(intake)
    assert [(event["version"], event["available"]) for event in events] == [(1, True), (2, False)]
    assert events[1]["absences"][0]["ends_at"] == "2030-01-08T00:00:00Z"


async def test_an_address_belongs_to_one_attorney(staff: httpx.AsyncClient) -> None:
    await staff.post(ATTORNEYS, json=ADA)
    assert (await staff.post(ATTORNEYS, json={**ADA, "email": "ada@FIRM.test"})).status_code == 409


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"name", "email"}),
        ({**ADA, "name": " "}, {"name"}),
        ({**ADA, "email": "x"}, {"email"}),
        ({**ADA, "name": "a\0b"}, {"name"}),
        ({**ADA, "languages": ["a\nb"]}, {"languages.0"}),
        ({**ADA, "capacity": -1}, {"capacity"}),
        ({**ADA, "version": 4}, {"version"}),
        (
            {**ADA, "absences": [{"starts_at": "2030-01-02T00:00:00Z", "ends_at": "2030-01-01T00:00:00Z"}]},
            {"absences.0"},
        ),
    ],
)
async def test_bad_attorneys_are_422(staff: httpx.AsyncClient, body: dict[str, Any], fields: set[str]) -> None:
    answer = await staff.post(ATTORNEYS, json=body)
    assert answer.status_code == 422
    assert {error["field"] for error in answer.json()["errors"]} == fields


async def test_unknown_attorneys_are_404(staff: httpx.AsyncClient) -> None:
    assert (await staff.get(f"{ATTORNEYS}/{uuid4()}")).status_code == 404
    assert (await staff.patch(f"{ATTORNEYS}/{uuid4()}", json={"available": False})).status_code == 404
    empty = await staff.patch(f"{ATTORNEYS}/{uuid4()}", json={})
    assert empty.status_code == 422


async def test_a_restatement_says_every_attorney_at_its_version(intake: Intake, staff: httpx.AsyncClient) -> None:
    ada = (await staff.post(ATTORNEYS, json=ADA)).json()["id"]
    await staff.patch(f"{ATTORNEYS}/{ada}", json={"capacity": 1})
    await intake.database.execute("DELETE FROM outbox")
    assert await restate_attorneys(intake.sessions) == 1
    [event] = await said(intake)
    assert (event["attorney_id"], event["version"], event["capacity"]) == (ada, 2, 1)
