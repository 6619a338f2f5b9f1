"""What holds for every documented route: its headers, the fields that it does not take, what it gives away."""

import re
from typing import Any
from uuid import uuid4

import httpx
import pytest
from intake_api.main import build
from prometheus_client import generate_latest

from ..documents import lead_json
from .accounts import make_account
from .conftest import Intake

METHODS = {"get", "put", "post", "patch", "delete"}
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
STRANGERS: dict[str, Any] = {
    "id": "11111111-1111-4111-8111-111111111111",
    "status": "retained",
    "attorney_id": "22222222-2222-4222-8222-222222222222",
    "assigned_to": "33333333-3333-4333-8333-333333333333",
    "created_at": "1999-01-01T00:00:00Z",
    "epoch": 77,
    "role": "admin",
    "is_admin": True,
}
PASS_OVER = {"/api/v1/leads", "/api/v1/receipts/{token}/resume", "/api/v1/auth/refresh"}
"""The public's documents (test_s17_fields_that_are_not_the_publics_change_nothing), and OAuth (RFC 6749 s. 3.2)."""


async def operations(client: httpx.AsyncClient) -> list[tuple[str, str, dict[str, Any]]]:
    schema = (await client.get("/openapi.json")).json()
    return [
        (method, path, item[method])
        for path, item in sorted(schema["paths"].items())
        for method in sorted(METHODS & item.keys())
    ]


def concrete(path: str) -> str:
    return re.sub(r"\{[^}]+\}", str(uuid4()), path)


def snapshot(answer: httpx.Response) -> dict[str, str]:
    return {name: answer.headers.get(name, "") for name in HEADERS}


async def test_s56_every_answer_of_every_route_has_exactly_these_headers(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    seen: set[int] = set()
    for method, path, _ in await operations(staff):
        for url, headers in (
            (concrete(path), None),
            (concrete(path), {"Authorization": ""}),
            (path.replace("{", "not-a-uuid-").replace("}", ""), None),
        ):
            admin = (await make_account(intake, "admin")).headers if "auth/" in path else None
            answer = await staff.request(method, url, headers=headers or admin)
            assert snapshot(answer) == HEADERS, (method, url, answer.status_code)
            assert "server" not in answer.headers
            seen.add(answer.status_code)
    for method, url in (("GET", "/nothing"), ("PATCH", "/api/v1/leads"), ("GET", "/api/v1/%00")):
        answer = await staff.request(method, url)
        assert snapshot(answer) == HEADERS, (method, url)
        seen.add(answer.status_code)
    assert {200, 401, 404, 405, 422} <= seen


async def test_s56_a_resume_is_sandboxed_besides(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead = (await staff.post("/api/v1/leads", json=lead_json())).json()["id"]
    answer = await staff.get(f"/api/v1/leads/{lead}/resume")
    assert snapshot(answer) == HEADERS | {"content-security-policy": "sandbox; default-src 'none'"}


async def test_a_405_names_all_methods_of_the_route(intake: Intake, staff: httpx.AsyncClient) -> None:
    by_path: dict[str, set[str]] = {}
    for method, path, _ in await operations(staff):
        by_path.setdefault(path, set()).add(method.upper())
    for path, methods in by_path.items():
        answer = await staff.request("TRACE", concrete(path))
        assert answer.status_code == 405, path
        assert set(answer.headers["allow"].split(", ")) == methods, path


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/api/v1/leads/bulk", "POST"),
        ("PATCH", "/api/v1/leads/export.csv", "GET"),
        ("GET", "/api/v1/dead-letters/replay", "POST"),
    ],
)
async def test_a_routes_own_name_is_no_id(staff: httpx.AsyncClient, method: str, path: str, allowed: str) -> None:
    answer = await staff.request(method, path, json={"status": "declined"})
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


async def test_s17_no_route_takes_fields_that_it_does_not_name(intake: Intake, staff: httpx.AsyncClient) -> None:
    schemas = (await staff.get("/openapi.json")).json()["components"]["schemas"]
    tried = 0
    for method, path, operation in await operations(staff):
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body is None or path in PASS_OVER:
            continue
        named = _fields_of(body["schema"], schemas)
        strangers = {name: value for name, value in STRANGERS.items() if name not in named}
        answer = await staff.request(method, concrete(path), json={**body["example"], **strangers})
        assert answer.status_code == 422, (method, path, answer.text)
        assert strangers.keys() <= {error["field"] for error in answer.json()["errors"]}, (method, path)
        tried += 1
    assert tried > 10


def _fields_of(schema: dict[str, Any], schemas: dict[str, Any]) -> set[str]:
    if "$ref" in schema:
        return _fields_of(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    several = schema.get("oneOf", [])
    return set(schema.get("properties", {})).union(*(_fields_of(one, schemas) for one in several))


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
async def test_s60_the_playground_can_be_switched_off(intake: Intake, path: str) -> None:
    assert (await intake.client.get(path)).status_code == 200
    app = build(intake.settings.model_copy(update={"api_docs": False}), intake.store)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://intake") as client,
        app.router.lifespan_context(app),
    ):
        answer = await client.get(path)
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:problem:not-found")


async def test_s60_health_and_metrics_name_nobody_and_no_version(intake: Intake, staff: httpx.AsyncClient) -> None:
    await intake.client.post("/api/v1/leads", json=lead_json(first_name="Zyxwv", email="canary@example.com"))
    metrics = generate_latest().decode()
    for path in ("/livez", "/readyz", "/api/v1/healthcheck"):
        text = (await intake.client.get(path)).text
        assert not re.search(r"\d+\.\d+\.\d+|zyxwv|canary|postgres|uvicorn|python", text, re.I), text
    assert not re.search(r"zyxwv|canary", metrics, re.I)
    assert (await intake.client.get("/metrics")).status_code == 404
