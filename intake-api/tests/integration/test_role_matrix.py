"""S42: every route of the OpenAPI document, every caller; what the table does not list fails."""

import re
from typing import Any
from uuid import uuid4

import httpx
import pytest
from intake_api.caller import Scope
from intake_api.main import build

from ..documents import lead_json
from ..role_matrix import ALLOWED, ATTORNEY, CALLERS, KEYS, NO_ACCOUNT_NEEDED, OF_ONE_LEAD, PEOPLE
from .accounts import make_account
from .conftest import Intake

METHODS = {"get", "put", "post", "patch", "delete", "head", "options", "trace"}
LEADS = "/api/v1/leads"


def documented(schema: dict[str, Any]) -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, item in schema["paths"].items() for method in METHODS & item.keys()}


async def test_s42_the_table_lists_exactly_the_documented_routes(intake: Intake) -> None:
    schema = (await intake.client.get("/openapi.json")).json()
    assert documented(schema) == ALLOWED.keys(), "list new routes in tests/role_matrix.py with whom they are for"
    app = build(intake.settings, intake.store)
    hidden = {path for route in app.routes if (path := getattr(route, "path", "")).startswith("/api")}
    assert hidden <= schema["paths"].keys()


async def headers_of(intake: Intake, staff: httpx.AsyncClient) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {"nobody": {"Authorization": ""}}
    for role in PEOPLE:
        attorney = None
        if role == ATTORNEY:
            body = {"name": "Ada", "email": f"{uuid4()}@firm.test"}
            attorney = (await staff.post("/api/v1/attorneys", json=body)).json()["id"]
        found[role] = (await make_account(intake, role, attorney=attorney)).headers
    for scope in Scope:
        new_key = {"name": "an integration", "scopes": [scope], "requests_per_minute": 1000}
        key = (await staff.post("/api/v1/api-keys", json=new_key)).json()["key"]
        found[f"key {scope}"] = {"Authorization": f"Bearer {key}"}
    assert found.keys() == CALLERS
    return found


async def test_s42_every_caller_gets_what_the_table_says_and_no_more(intake: Intake, staff: httpx.AsyncClient) -> None:
    wrong = []
    headers = await headers_of(intake, staff)
    # Logging out last: it ends the session that the other routes are tried with.
    for method, path in sorted(ALLOWED, key=lambda route: (route[1].endswith("/logout"), route)):
        concrete = re.sub(r"\{[^}]+\}", str(uuid4()), path)
        for caller in sorted(CALLERS):
            answer = await staff.request(method, concrete, headers=headers[caller])
            refusal = answer.status_code if answer.status_code in (401, 403) else None
            expected = None
            if caller not in ALLOWED[method, path]:
                expected = 401 if caller == "nobody" else 403
            if refusal != expected or answer.status_code >= 500:
                wrong.append(f"{caller}: {method} {path} answers {answer.status_code}, expected {expected or 'access'}")
    assert wrong == []


@pytest.mark.parametrize(("method", "path"), OF_ONE_LEAD)
async def test_s42_another_attorneys_lead_does_not_exist(
    intake: Intake, staff: httpx.AsyncClient, method: str, path: str
) -> None:
    owner = (await staff.post("/api/v1/attorneys", json={"name": "Ben", "email": "ben@firm.test"})).json()["id"]
    lead = (await staff.post(LEADS, json=lead_json())).json()["id"]
    await staff.patch(f"{LEADS}/{lead}", json={"assigned_to": owner})
    headers = (await headers_of(intake, staff))[ATTORNEY]
    body = {"PATCH": {"status": "declined"}, "POST": {"text": "a note"}}.get(method)
    for unassigned in (False, True):
        if unassigned:
            await staff.patch(f"{LEADS}/{lead}", json={"assigned_to": None})
        answer = await staff.request(method, path.replace("{lead_id}", lead), headers=headers, json=body)
        if ATTORNEY in ALLOWED[method, path]:
            assert (answer.status_code, answer.json()["type"]) == (404, "urn:problem:lead-not-found")
        else:
            assert answer.status_code == 403


async def test_s42_the_document_says_which_routes_need_a_login(intake: Intake) -> None:
    schema = (await intake.client.get("/openapi.json")).json()
    open_routes = {
        (method, path) for method, path in documented(schema) if "security" not in schema["paths"][path][method.lower()]
    }
    assert open_routes == NO_ACCOUNT_NEEDED


def test_s42_keys_in_the_table_are_the_scopes_there_are() -> None:
    assert {f"key {scope}" for scope in Scope} == KEYS
