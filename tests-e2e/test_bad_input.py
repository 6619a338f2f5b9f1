"""Bad input: problem+json with every wrong field at once, the right status, and nothing half written."""

import base64
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from e2e import evidence
from e2e.clients import Encoding, Person, http_client, json_body
from e2e.documents import MIB, large_pdf, small_pdf
from e2e.eventually import eventually
from e2e.stack import Stack

LEADS = "/api/v1/leads"
GOOD = {"first_name": "Gail", "last_name": "Good", "email": "gail.good@example.com"}
RESUME = base64.b64encode(small_pdf()).decode()
UNKNOWN = "4c5f4b5e-9c1d-4c51-8d1f-0f6a0f2f7b11"
PROGRAM = b"\x7fELF\x02\x01\x01" + bytes(64)


def problem_of(response: httpx.Response, status: int) -> dict[str, Any]:
    """Check the form of a problem answer (RFC 9457) and give it."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    return problem


def fields_of(problem: dict[str, Any]) -> set[str]:
    return {entry["field"] for entry in problem["errors"]}


async def written(stack: Stack) -> dict[str, int]:
    """Rows that a submission or a change writes."""
    tables = ("leads", "submissions", "timeline", "outbox")
    return {name: await evidence.fetch_value(stack, "intake", f"SELECT count(*) FROM {name}") for name in tables}  # noqa: S608 - names from above


@pytest.fixture
async def nothing_is_written(stack: Stack) -> AsyncIterator[None]:
    before = await eventually(lambda: written(stack), lambda rows: rows["outbox"] == 0, what="an empty outbox")
    yield
    assert await written(stack) == before


@dataclass(frozen=True)
class Bad:
    """A submission with something wrong in it."""

    name: str
    fields: dict[str, object]
    wrong: set[str]
    status: int = 422
    file: bytes | None = field(default=None)
    """The same in a form; None where a form cannot be wrong in this way."""


BAD = [
    Bad("everything missing", {}, {"first_name", "last_name", "email", "resume"}),
    Bad("blank names", {**GOOD, "first_name": "  ", "last_name": "", "resume": RESUME}, {"first_name", "last_name"}),
    Bad("bad address", {**GOOD, "email": "gail.good", "resume": RESUME}, {"email"}, file=small_pdf()),
    Bad("two addresses", {**GOOD, "email": "a@example.com, b@example.com", "resume": RESUME}, {"email"}),
    Bad("line break in address", {**GOOD, "email": "a@example.com\r\nBcc: b@example.com", "resume": RESUME}, {"email"}),
    Bad("name is a number", {**GOOD, "first_name": 7, "resume": RESUME}, {"first_name"}),
    Bad("name too long", {**GOOD, "last_name": "x" * 101, "resume": RESUME}, {"last_name"}, file=small_pdf()),
    Bad("no base64", {**GOOD, "resume": "%%%"}, {"resume"}),
    Bad("no document", {**GOOD, "resume": base64.b64encode(PROGRAM).decode()}, {"resume"}, 415, PROGRAM),
    Bad("resume missing", dict(GOOD), {"resume"}),
    Bad("empty resume", {**GOOD, "resume": ""}, {"resume"}, file=b""),
    Bad(
        "all wrong at once",
        {"first_name": " ", "last_name": " ", "email": "x", "resume": base64.b64encode(PROGRAM).decode()},
        {"first_name", "last_name", "email", "resume"},
        file=PROGRAM,
    ),
]


@pytest.mark.usefixtures("nothing_is_written")
@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
async def test_a_bad_submission_names_every_wrong_field(bad: Bad, public: httpx.AsyncClient) -> None:
    problem = problem_of(await public.post(LEADS, json=bad.fields), bad.status)
    assert fields_of(problem) == bad.wrong

    if bad.file is not None:
        texts = {name: str(value) for name, value in bad.fields.items() if name != "resume"}
        form = await public.post(LEADS, data=texts, files={"resume": ("resume.pdf", bad.file)})
        assert fields_of(problem_of(form, bad.status)) == bad.wrong


@pytest.mark.usefixtures("nothing_is_written")
@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"{", "application/json", 422),
        (b"[]", "application/json", 422),
        (b"null", "application/json", 422),
        (b'"\xff"', "application/json", 422),
        (b"[" * 100_000, "application/json", 422),
        (b"a,b", "text/csv", 415),
        (b"no form at all", "multipart/form-data; boundary=x", 422),
        (b"no boundary", "multipart/form-data", 422),
        (b"", "application/json", 422),
    ],
)
async def test_a_body_that_is_no_submission(
    content: bytes, media_type: str, status: int, public: httpx.AsyncClient
) -> None:
    problem_of(await public.post(LEADS, content=content, headers={"Content-Type": media_type}), status)


@pytest.mark.usefixtures("nothing_is_written")
@pytest.mark.parametrize("length", ["declared", "chunked"])
@pytest.mark.parametrize("encoding", ["json", "multipart"])
async def test_eleven_mib_get_a_readable_413(encoding: Encoding, length: str, stack: Stack) -> None:
    """The client writes its whole body, or is stopped: either way it reads the answer."""
    person = Person("Bill", "Big", f"bill.{uuid.uuid4().hex}@example.com")
    async with http_client(stack) as client:
        if encoding == "json":
            headers = {"Content-Type": "application/json"}
            request = client.build_request(
                "POST", LEADS, content=json_body(person, large_pdf(11 * MIB)), headers=headers
            )
        else:
            fields = {"first_name": person.first_name, "last_name": person.last_name, "email": person.email}
            files = {"resume": ("resume.pdf", large_pdf(11 * MIB), "application/pdf")}
            request = client.build_request("POST", LEADS, data=fields, files=files)
        if length == "chunked":
            body = request.read()

            async def pieces() -> AsyncIterator[bytes]:
                for start in range(0, len(body), 64 * 1024):
                    yield body[start : start + 64 * 1024]

            media_type = {"Content-Type": request.headers["Content-Type"]}
            request = client.build_request("POST", LEADS, content=pieces(), headers=media_type)
        problem = problem_of(await client.send(request), 413)
    assert "larger" in problem["detail"]


@pytest.mark.usefixtures("nothing_is_written")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", LEADS),
        ("GET", f"{LEADS}/{UNKNOWN}"),
        ("GET", f"{LEADS}/{UNKNOWN}/resume"),
        ("GET", f"{LEADS}/{UNKNOWN}/timeline"),
        ("PATCH", f"{LEADS}/{UNKNOWN}"),
        ("GET", "/api/v1/attorneys"),
        ("POST", "/api/v1/attorneys"),
        ("GET", f"/api/v1/attorneys/{UNKNOWN}"),
        ("PATCH", f"/api/v1/attorneys/{UNKNOWN}"),
    ],
)
async def test_staff_routes_refuse_no_token_and_bad_tokens(
    method: str, path: str, public: httpx.AsyncClient, staff: httpx.AsyncClient
) -> None:
    head, claims, signature = str(staff.headers["Authorization"]).removeprefix("Bearer ").split(".")
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    forged = [
        "",
        "Bearer",
        "Bearer nonsense",
        "Basic YWRtaW46YWRtaW4=",
        f"Bearer {head}.{claims}.{signature[::-1]}",
        f"Bearer {unsigned}.{claims}.",
    ]
    for value in forged:
        headers = {"Authorization": value} if value else {}
        answer = await public.request(method, path, headers=headers, json={})
        problem_of(answer, 401)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_wrong_password_is_401(public: httpx.AsyncClient, stack: Stack) -> None:
    for name in (stack.run["admin"]["email"], "nobody@example.com"):
        answer = await public.post("/api/v1/auth/token", data={"username": name, "password": "wrong"})
        problem_of(answer, 401)


@pytest.mark.usefixtures("nothing_is_written")
@pytest.mark.parametrize("query", ["limit=0", "limit=100000", "limit=x", "offset=-1", "offset=x"])
async def test_a_bad_page_is_422(query: str, staff: httpx.AsyncClient) -> None:
    problem = problem_of(await staff.get(f"{LEADS}?{query}"), 422)
    assert fields_of(problem) == {query.partition("=")[0]}


@pytest.fixture
async def lead(public: httpx.AsyncClient, staff: httpx.AsyncClient) -> dict[str, Any]:
    """A lead that was reached."""
    person = {**GOOD, "email": f"gail.{uuid.uuid4().hex}@example.com", "resume": RESUME}
    posted = await public.post(LEADS, json=person)
    assert posted.status_code == 201, posted.text

    async def look() -> dict[str, Any]:
        found: dict[str, Any] = (await staff.get(f"{LEADS}/{posted.json()['id']}")).json()
        return found

    return await eventually(look, lambda one: one["status"] == "reached_out", what="the lead is reached")


async def test_bad_changes_of_a_lead_change_nothing(
    lead: dict[str, Any], stack: Stack, staff: httpx.AsyncClient
) -> None:
    cases: list[tuple[str, object, int, set[str]]] = [
        (lead["id"], {"status": "happy"}, 422, {"status"}),
        (lead["id"], {"status": "happy", "reached_out_by": "x"}, 422, {"status", "reached_out_by"}),
        (lead["id"], {"status": "registered"}, 409, set()),
        (lead["id"], {"status": "assigned"}, 409, set()),
        (lead["id"], {"status": "reached_out", "reached_out_by": UNKNOWN}, 422, {"reached_out_by"}),
        (lead["id"], {"assigned_to": UNKNOWN}, 422, {"assigned_to"}),
        (lead["id"], {"reached_out_by": "not-a-uuid"}, 422, {"reached_out_by"}),
        (lead["id"], {}, 422, set()),
        (lead["id"], {"statuss": "retained"}, 422, {"statuss"}),
        (lead["id"], [], 422, set()),
        ("not-a-uuid", {"status": "retained"}, 422, {"lead_id"}),
        (UNKNOWN, {"status": "retained"}, 404, set()),
    ]
    before = await eventually(lambda: written(stack), lambda rows: rows["outbox"] == 0, what="an empty outbox")
    for lead_id, body, status, wrong in cases:
        problem = problem_of(await staff.patch(f"{LEADS}/{lead_id}", json=body), status)
        assert wrong <= fields_of(problem) if wrong else True, (body, problem)
    assert await written(stack) == before
    assert (await staff.get(f"{LEADS}/{lead['id']}")).json() == lead


@pytest.mark.parametrize("path", ["", "/resume", "/timeline"])
async def test_a_bad_uuid_is_422_and_an_unknown_one_404(path: str, staff: httpx.AsyncClient) -> None:
    problem_of(await staff.get(f"{LEADS}/not-a-uuid{path}"), 422)
    problem_of(await staff.get(f"{LEADS}/{UNKNOWN}{path}"), 404)


async def test_an_unknown_path_and_method_are_problems(public: httpx.AsyncClient) -> None:
    problem_of(await public.get("/api/v1/nothing"), 404)
    problem_of(await public.delete("/api/v1/leads"), 405)


async def test_bad_attorneys_are_refused(staff: httpx.AsyncClient) -> None:
    problem = problem_of(await staff.post("/api/v1/attorneys", json={"name": " ", "email": "x", "capacity": -1}), 422)
    assert fields_of(problem) == {"name", "email", "capacity"}
    existing = (await staff.get("/api/v1/attorneys")).json()["items"][0]
    problem_of(await staff.post("/api/v1/attorneys", json={"name": "Same", "email": existing["email"]}), 409)
    problem_of(await staff.patch(f"/api/v1/attorneys/{UNKNOWN}", json={"available": True}), 404)
    problem_of(await staff.patch(f"/api/v1/attorneys/{existing['id']}", content=json.dumps({"capacity": "x"})), 422)
