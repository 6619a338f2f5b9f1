"""What staff read, and that nobody else does."""

import base64
import json
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import jwt
import pytest
from prometheus_client import generate_latest

from ..documents import DOCX, PDF, lead_json
from .conftest import ADMIN, Intake

LEADS = "/api/v1/leads"
NOBODY = "00000000-0000-4000-8000-000000000000"  # the same in every process: xdist compares the names of tests


async def test_the_list_is_newest_first_and_paged(intake: Intake, staff: httpx.AsyncClient) -> None:
    ids = [(await intake.client.post(LEADS, json=lead_json(email=f"{n}@example.com"))).json()["id"] for n in range(5)]
    page = (await staff.get(LEADS, params={"limit": 2, "offset": 1})).json()
    assert [item["id"] for item in page["items"]] == [ids[3], ids[2]]
    assert (page["total"], page["limit"], page["offset"]) == (5, 2, 1)
    assert (await staff.get(LEADS)).json()["limit"] == 20


@pytest.mark.parametrize("query", ["limit=0", "limit=100000", "offset=-1", "limit=x", "offset=99999999999999999999"])
async def test_a_page_out_of_bounds_is_422_naming_the_parameter(staff: httpx.AsyncClient, query: str) -> None:
    answer = await staff.get(f"{LEADS}?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == query.split("=", maxsplit=1)[0]


async def test_one_lead_shows_every_field_and_submission(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead = (await intake.client.post(LEADS, json=lead_json())).json()["id"]
    await intake.client.post(LEADS, json=lead_json(DOCX, first_name="Johnny"))
    body = (await staff.get(f"{LEADS}/{lead}")).json()
    assert {
        "id", "first_name", "last_name", "email", "status", "resume_url", "assigned_to", "reached_out_by",
        "created_at", "updated_at",
    } <= body.keys()  # fmt: skip
    assert len(body["submissions"]) == 2
    first = await staff.get(body["resume_url"])
    second = await staff.get(body["submissions"][1]["resume_url"])
    assert (first.content, second.content) == (PDF, DOCX)
    assert first.headers["content-type"] == "application/pdf"
    assert first.headers["content-disposition"].startswith("attachment")
    assert first.headers["x-content-type-options"] == "nosniff"
    assert first.headers["content-security-policy"].startswith("sandbox")


async def test_a_resume_gone_from_the_store_is_404(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead = (await intake.client.post(LEADS, json=lead_json())).json()["id"]
    for path in intake.stored():
        path.unlink()
    answer = await staff.get(f"{LEADS}/{lead}/resume")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:problem:resume-missing")


@pytest.mark.parametrize("suffix", ["", "/resume", "/timeline"])
async def test_unknown_and_malformed_ids(staff: httpx.AsyncClient, suffix: str) -> None:
    assert (await staff.get(f"{LEADS}/{uuid4()}{suffix}")).status_code == 404
    assert (await staff.get(f"{LEADS}/not-a-uuid{suffix}")).status_code == 422


PROTECTED = [
    ("GET", LEADS),
    ("GET", f"{LEADS}/{NOBODY}"),
    ("PATCH", f"{LEADS}/{NOBODY}"),
    ("GET", f"{LEADS}/{NOBODY}/resume"),
    ("GET", f"{LEADS}/{NOBODY}/timeline"),
    ("GET", "/api/v1/attorneys"),
    ("POST", "/api/v1/attorneys"),
    ("GET", f"/api/v1/attorneys/{NOBODY}"),
    ("PATCH", f"/api/v1/attorneys/{NOBODY}"),
]


@pytest.mark.parametrize(("method", "path"), PROTECTED)
async def test_without_a_valid_token_everything_is_401(intake: Intake, method: str, path: str) -> None:
    missing = await intake.client.request(method, path)
    bad = await intake.client.request(method, path, headers={"Authorization": "Bearer nonsense"})
    assert (missing.status_code, bad.status_code) == (401, 401)
    assert missing.headers["www-authenticate"] == "Bearer"
    assert missing.json()["type"] == "urn:problem:not-authenticated"


def _unsigned(claims: dict[str, object]) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none'})}.{part(claims)}."


async def test_forged_tokens_are_refused(intake: Intake, staff: httpx.AsyncClient) -> None:
    token = staff.headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, options={"verify_signature": False})
    secret = intake.settings.auth_secret.get_secret_value()
    forged = [
        _unsigned(claims),
        jwt.encode(claims, "another-secret-that-is-long-enough-too", algorithm="HS256"),
        jwt.encode({**claims, "exp": 1}, secret, algorithm="HS256"),
        jwt.encode({**claims, "typ": "refresh"}, secret, algorithm="HS256"),
        jwt.encode({**claims, "aud": "other"}, secret, algorithm="HS256"),
        jwt.encode({key: value for key, value in claims.items() if key != "exp"}, secret, algorithm="HS256"),
        jwt.encode({**claims, "sub": "nobody"}, secret, algorithm="HS256"),
    ]
    for one in forged:
        answer = await staff.get(LEADS, headers={"Authorization": f"Bearer {one}"})
        assert answer.status_code == 401, one


async def test_a_wrong_password_and_an_unknown_account_answer_the_same(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    wrong = await staff.post("/api/v1/auth/token", data={"username": ADMIN[0], "password": "wrong"})
    unknown = await staff.post("/api/v1/auth/token", data={"username": "x@firm.test", "password": "wrong"})
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() == unknown.json()
    missing = await intake.client.post("/api/v1/auth/token", data={})
    assert {error["field"] for error in missing.json()["errors"]} == {"username", "password"}


async def test_only_admins_change_attorneys(intake: Intake, staff: httpx.AsyncClient) -> None:
    await intake.database.execute("UPDATE accounts SET role = 'intake'")
    answer = await staff.post("/api/v1/auth/token", data={"username": ADMIN[0], "password": ADMIN[1]})
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    body = {"name": "Ada", "email": "ada@firm.test"}
    assert (await staff.post("/api/v1/attorneys", json=body, headers=headers)).status_code == 403
    assert (await staff.get("/api/v1/attorneys", headers=headers)).status_code == 200


async def test_health_is_public_and_says_what_is_wrong(intake: Intake) -> None:
    health = await intake.client.get("/api/v1/healthcheck")
    assert (health.status_code, health.json()["status"]) == (200, "ok")
    assert health.json()["checks"]["outbox_oldest_age_seconds"] == 0
    assert (await intake.client.get("/livez")).status_code == 200
    ready = await intake.client.get("/readyz")
    assert ready.json()["checks"] == {"database": "ok", "storage": "ok"}


async def test_unknown_routes_and_methods_are_problems(intake: Intake) -> None:
    missing = await intake.client.get("/api/v1/nothing")
    wrong = await intake.client.delete("/api/v1/leads")
    assert (missing.status_code, wrong.status_code) == (404, 405)
    assert missing.headers["content-type"] == wrong.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(("method", "path"), [("PATCH", f"{LEADS}/{NOBODY}"), ("POST", "/api/v1/attorneys")])
async def test_a_body_too_large_is_413_on_every_route(staff: httpx.AsyncClient, method: str, path: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 1024

    for content in (b" " * 100_000, chunks()):
        answer = await staff.request(method, path, content=content, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (413, "body")


async def test_control_characters_are_nobodys_account_and_no_text(staff: httpx.AsyncClient) -> None:
    login = await staff.post("/api/v1/auth/token", data={"username": "a\0b", "password": "x"})
    search = await staff.get("/api/v1/dead-letters", params={"queue": "a\0b"})
    assert (login.status_code, search.status_code) == (401, 422)
    assert search.json()["errors"][0]["field"] == "queue"


@pytest.mark.parametrize("content", [b"{bad", b"\xff\xfe", b"[" * 50_000, b'{"x": ' + b"9" * 5000 + b"}"])
async def test_json_that_is_none_names_the_body(staff: httpx.AsyncClient, content: bytes) -> None:
    answer = await staff.patch(f"{LEADS}/{uuid4()}", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["body"]


async def test_invented_methods_make_no_series_of_their_own(intake: Intake) -> None:
    answer = await intake.client.request("RANDOM7", LEADS)
    assert answer.status_code == 405
    assert "RANDOM7" not in generate_latest().decode()
