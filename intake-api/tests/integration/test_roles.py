"""What each role sees and may change."""

from uuid import uuid4

import httpx
import pytest

from ..documents import lead_json
from .accounts import make_account
from .conftest import Intake
from .test_dead_letters import bury

LEADS = "/api/v1/leads"


async def owned_lead(staff: httpx.AsyncClient, email: str, attorney: str) -> str:
    lead = str((await staff.post(LEADS, json=lead_json(email=email))).json()["id"])
    assert (await staff.patch(f"{LEADS}/{lead}", json={"assigned_to": attorney})).status_code == 200
    return lead


async def new_attorney(staff: httpx.AsyncClient, email: str) -> str:
    return str((await staff.post("/api/v1/attorneys", json={"name": "An Attorney", "email": email})).json()["id"])


@pytest.mark.parametrize("suffix", ["", "/resume", "/timeline"])
async def test_s42_another_attorneys_lead_is_404_and_not_listed(
    intake: Intake, staff: httpx.AsyncClient, suffix: str
) -> None:
    ada, ben = await new_attorney(staff, "ada@firm.test"), await new_attorney(staff, "ben@firm.test")
    own, other = await owned_lead(staff, "a@example.com", ada), await owned_lead(staff, "b@example.com", ben)
    headers = (await make_account(intake, "attorney", attorney=ada)).headers
    assert (await staff.get(f"{LEADS}/{own}{suffix}", headers=headers)).status_code == 200
    hidden = await staff.get(f"{LEADS}/{other}{suffix}", headers=headers)
    assert (hidden.status_code, hidden.json()) == (
        404,
        (await staff.get(f"{LEADS}/{uuid4()}{suffix}", headers=headers)).json(),
    )
    page = (await staff.get(LEADS, headers=headers)).json()
    assert ([item["id"] for item in page["items"]], page["total"]) == ([own], 1)
    assert (await staff.patch(f"{LEADS}/{other}", json={"status": "declined"}, headers=headers)).status_code == 404
    assert (await staff.patch(f"{LEADS}/{own}", json={"status": "declined"}, headers=headers)).status_code == 200


async def test_an_attorney_account_without_an_attorney_sees_no_leads(intake: Intake, staff: httpx.AsyncClient) -> None:
    await staff.post(LEADS, json=lead_json())
    headers = (await make_account(intake, "attorney")).headers
    assert (await staff.get(LEADS, headers=headers)).json()["total"] == 0


@pytest.mark.parametrize("field", ["assigned_to", "reached_out_by"])
async def test_s43_an_attorney_gives_no_lead_away_and_speaks_for_nobody_else(
    intake: Intake, staff: httpx.AsyncClient, field: str
) -> None:
    ada, ben = await new_attorney(staff, "ada@firm.test"), await new_attorney(staff, "ben@firm.test")
    lead = await owned_lead(staff, "a@example.com", ada)
    before = (await staff.get(f"{LEADS}/{lead}")).json()
    headers = (await make_account(intake, "attorney", attorney=ada)).headers
    answer = await staff.patch(f"{LEADS}/{lead}", json={field: ben, "status": "reached_out"}, headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (403, field)
    assert (await staff.get(f"{LEADS}/{lead}")).json() == before
    spoken = await staff.patch(f"{LEADS}/{lead}", json={"status": "reached_out"}, headers=headers)
    assert (spoken.status_code, spoken.json()["reached_out_by"]) == (200, ada)


async def test_s43_an_operator_repairs_leads_without_seeing_what_was_sent(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    lead = (await staff.post(LEADS, json=lead_json())).json()["id"]
    headers = (await make_account(intake, "operator")).headers
    for suffix in ("", f"/{lead}", f"/{lead}/resume", f"/{lead}/timeline"):
        assert (await staff.get(f"{LEADS}{suffix}", headers=headers)).status_code == 403, suffix
    state = await staff.get(f"/api/v1/stuck-leads/{lead}", headers=headers)
    assert (state.status_code, state.json()["status"]) == (200, "registered")
    assert not {"first_name", "last_name", "email", "resume_url"} & state.json().keys()


async def test_s43_only_an_admin_sees_the_body_of_a_dead_letter(intake: Intake, staff: httpx.AsyncClient) -> None:
    letter = await bury(intake)
    path = f"/api/v1/dead-letters/{letter}"
    whole = (await staff.get(path)).json()
    assert whole["body_base64"]
    headers = (await make_account(intake, "operator")).headers
    assert (await staff.get(path, headers=headers)).json() == {**whole, "body_base64": None}


@pytest.mark.parametrize("role", ["admin", "intake", "attorney"])
async def test_s43_answers_have_the_documented_fields_and_no_others(
    intake: Intake, staff: httpx.AsyncClient, role: str
) -> None:
    ada = await new_attorney(staff, "ada@firm.test")
    lead = await owned_lead(staff, "a@example.com", ada)
    headers = (await make_account(intake, role, attorney=ada)).headers
    schemas = (await staff.get("/openapi.json")).json()["components"]["schemas"]
    shown = {
        "LeadBody": (await staff.get(LEADS, headers=headers)).json()["items"][0],
        "LeadDetail": (await staff.get(f"{LEADS}/{lead}", headers=headers)).json(),
        "AttorneyBody": (await staff.get(f"/api/v1/attorneys/{ada}", headers=headers)).json(),
        "UserBody": (await staff.get("/api/v1/auth/me", headers=headers)).json(),
    }
    for name, body in shown.items():
        assert body.keys() == schemas[name]["properties"].keys()
        assert not {"password_hash", "email_key", "trace_id", "resume_key", "epoch"} & body.keys()
    for field in ("id", "email", "status_reason", "role"):
        answer = await staff.patch(f"{LEADS}/{lead}", json={"status": "declined", field: "x"}, headers=headers)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
