"""POST /leads: what 201 means, and that everything else leaves nothing."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from intake_api.exceptions import StorageAwayError
from intake_api.main import build
from intake_api.use_cases import register_lead as module
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from ..documents import DOCX, PDF, lead_json
from .conftest import Intake

LEADS = "/api/v1/leads"


async def test_201_means_lead_submission_object_and_event_are_durable(intake: Intake) -> None:
    answer = await intake.client.post(LEADS, json=lead_json())
    assert answer.status_code == 201
    lead_id = answer.json()["id"]
    assert answer.headers["location"] == f"{LEADS}/{lead_id}"
    submission = await intake.database.fetchrow("SELECT * FROM submissions")
    assert str(submission["lead_id"]) == lead_id
    assert (intake.objects / submission["resume_key"]).read_bytes() == PDF
    event = await intake.database.fetchrow("SELECT * FROM outbox")
    body = json.loads(event["body"])
    assert event["type"] == "lead.registered.v1"
    assert (body["lead_id"], body["epoch"], body["outreach"], body["email"]) == (
        lead_id, 0, True, "john.doe@example.com",
    )  # fmt: skip
    assert "resume" not in body


async def test_a_submission_never_speaks_to_the_broker(intake: Intake) -> None:
    dialled = 0

    def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal dialled
        dialled += 1
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as broker:
        address = f"amqp://guest:guest@127.0.0.1:{broker.sockets[0].getsockname()[1]}/"
        settings = intake.settings.model_copy(update={"amqp_url": SecretStr(address)})
        app = build(settings, intake.store)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://intake") as client,
        ):
            answer = await client.post(LEADS, json=lead_json())
    assert (answer.status_code, dialled) == (201, 0)
    assert await intake.rows("outbox") == 1


async def test_both_encodings_store_the_same(intake: Intake) -> None:
    fields = {"first_name": "Ann", "last_name": "Lee", "email": "ann@example.com"}
    form = await intake.client.post(LEADS, data=fields, files={"resume": ("cv.docx", DOCX, "application/octet-stream")})
    as_json = await intake.client.post(
        LEADS, json=lead_json(DOCX, **{**fields, "email": "ann2@example.com"}, resume_filename="cv.docx")
    )
    assert (form.status_code, as_json.status_code) == (201, 201)
    rows = await intake.database.fetch(
        "SELECT resume_sha256, resume_type, resume_filename, resume_size FROM submissions"
    )
    assert rows[0] == rows[1]
    assert rows[0]["resume_filename"] == "cv.docx"


async def test_the_public_answer_shows_nothing_of_the_lead_it_joined(intake: Intake) -> None:
    first = (await intake.client.post(LEADS, json=lead_json())).json()
    await intake.database.execute("UPDATE leads SET status = 'reached_out'")
    second = (await intake.client.post(LEADS, json=lead_json(first_name="Johnny", email="John.Doe@example.com"))).json()
    assert second["id"] == first["id"]
    assert (second["status"], second["first_name"], second["assigned_to"]) == ("registered", "Johnny", None)
    assert second["created_at"] > first["created_at"]
    assert await intake.rows("leads") == 1
    assert await intake.rows("submissions") == 2
    assert await intake.rows("outbox") == 1
    assert await intake.database.fetchval("SELECT first_name FROM leads") == "John"


@pytest.mark.parametrize("status", ["retained", "declined", "quarantined"])
async def test_a_lead_that_is_not_open_is_not_joined(intake: Intake, status: str) -> None:
    await intake.client.post(LEADS, json=lead_json())
    await intake.database.execute("UPDATE leads SET status = $1", status)
    await intake.client.post(LEADS, json=lead_json())
    assert await intake.rows("leads") == 2


async def test_a_lead_older_than_the_window_is_not_joined_and_its_attorney_is_kept(intake: Intake) -> None:
    await intake.client.post(LEADS, json=lead_json())
    attorney = "00000000-0000-4000-8000-000000000001"
    await intake.database.execute(
        "INSERT INTO attorneys (id, version, name, email, available) VALUES ($1, 1, 'A', 'a@firm.test', true)", attorney
    )
    await intake.database.execute(
        "UPDATE leads SET created_at = now() - interval '31 days', assigned_to = $1, status = 'assigned'", attorney
    )
    await intake.client.post(LEADS, json=lead_json())
    bodies = [json.loads(row["body"]) for row in await intake.database.fetch("SELECT body FROM outbox ORDER BY id")]
    assert [body["keep_attorney_id"] for body in bodies] == [None, attorney]


async def test_the_same_address_twenty_times_at_once_is_one_lead(intake: Intake) -> None:
    answers = await asyncio.gather(*(intake.client.post(LEADS, json=lead_json()) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert (await intake.rows("leads"), await intake.rows("submissions"), await intake.rows("outbox")) == (1, 20, 1)


def _without(field: str) -> dict[str, Any]:
    return lead_json(**{field: ...})


@pytest.mark.parametrize(
    ("body", "status", "fields"),
    [
        (_without("first_name"), 422, {"first_name"}),
        (lead_json(last_name=" \t "), 422, {"last_name"}),
        (lead_json(first_name="a" * 101), 422, {"first_name"}),
        (lead_json(first_name="a\x00b"), 422, {"first_name"}),
        (lead_json(first_name=7), 422, {"first_name"}),
        (lead_json(email="nobody"), 422, {"email"}),
        (lead_json(email="a@example.com, b@example.com"), 422, {"email"}),
        (lead_json(email="a@example.com\r\nBcc: b@example.com"), 422, {"email"}),
        (_without("resume"), 422, {"resume"}),
        (lead_json(resume="not base64!"), 422, {"resume"}),
        (lead_json(b""), 422, {"resume"}),
        (lead_json(b"MZ\x00\x01 a program"), 415, {"resume"}),
        (lead_json(PDF, resume_filename="cv.exe"), 415, {"resume"}),
        (lead_json(b"x" * (10 * 1024 * 1024 + 1)), 413, {"resume"}),
        (lead_json(b"MZ\x00", first_name="", email="x"), 422, {"first_name", "email", "resume"}),
        ({}, 422, {"first_name", "last_name", "email", "resume"}),
    ],
)  # fmt: skip
async def test_bad_input_names_every_wrong_field_and_writes_nothing(
    intake: Intake, body: dict[str, Any], status: int, fields: set[str]
) -> None:
    answer = await intake.client.post(LEADS, json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert {error["field"] for error in answer.json()["errors"]} == fields
    assert (await intake.rows("leads"), await intake.rows("submissions"), intake.stored()) == (0, 0, [])


@pytest.mark.parametrize("body", ["{", '"text"', "[]", '{"first_name": "\\ud800"}', "[" * 100_000])
async def test_a_body_that_is_no_object_is_a_problem(intake: Intake, body: str) -> None:
    answer = await intake.client.post(LEADS, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["errors"]


async def test_a_declared_length_over_the_limit_is_refused_in_a_form_too(intake: Intake) -> None:
    answer = await intake.client.post(LEADS, data={"first_name": "A"}, files={"resume": ("a.pdf", b"x" * 20_000_000)})
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:problem:body-too-large")


async def test_a_resume_sent_as_text_in_a_form_says_what_to_do(intake: Intake) -> None:
    answer = await intake.client.post(LEADS, data={"resume": "see attachment"}, files={"other": ("a.txt", b"x")})
    problems = {error["field"]: error["detail"] for error in answer.json()["errors"]}
    assert "a file in a form" in problems["resume"]


async def test_other_content_types_are_refused(intake: Intake) -> None:
    answer = await intake.client.post(LEADS, content=b"x", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415


@pytest.mark.parametrize("media_type", ["application/json", "multipart/form-data; boundary=b"])
async def test_a_body_is_cut_off_at_the_limit_whatever_it_declares(intake: Intake, media_type: str) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        if media_type.startswith("multipart"):
            yield b'--b\r\nContent-Disposition: form-data; name="resume"; filename="a.pdf"\r\n\r\n'
        while sent < 100 * 1024 * 1024:
            sent += 1024 * 1024
            yield b"x" * 1024 * 1024

    answer = await intake.client.post(LEADS, content=endless(), headers={"Content-Type": media_type})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (413, "resume")
    assert sent < 16 * 1024 * 1024


async def test_two_files_are_refused(intake: Intake) -> None:
    files = [("resume", ("a.pdf", PDF)), ("resume", ("b.pdf", PDF))]
    answer = await intake.client.post(LEADS, data={"first_name": "A"}, files=files)
    assert answer.status_code == 422


async def test_storage_away_is_503_and_nothing_is_written(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise StorageAwayError

    monkeypatch.setattr(intake.store, "put", away)
    answer = await intake.client.post(LEADS, json=lead_json(), headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert await intake.rows("submissions") == 0
    monkeypatch.undo()
    assert (await intake.client.post(LEADS, json=lead_json(), headers={"Idempotency-Key": "k"})).status_code == 201


async def test_a_statement_that_takes_too_long_is_503_and_nothing_is_written(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(session: AsyncSession, *_: object) -> None:
        await session.execute(text("SET LOCAL statement_timeout = '20ms'"))
        await session.execute(text("SELECT pg_sleep(5)"))

    monkeypatch.setattr(module, "finish_key", slow)
    answer = await intake.client.post(LEADS, json=lead_json(), headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:problem:dependency-away")
    assert (await intake.rows("leads"), await intake.rows("outbox"), await intake.rows("idempotency_keys")) == (0, 0, 0)


async def test_a_fault_before_the_commit_leaves_no_lead_and_no_event(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fault(*_: object) -> None:
        raise RuntimeError("fault")

    monkeypatch.setattr(module, "finish_key", fault)
    answer = await intake.client.post(LEADS, json=lead_json(), headers={"Idempotency-Key": "k"})
    assert answer.status_code == 500
    assert "fault" not in answer.text
    assert (answer.headers["content-type"], answer.headers["x-content-type-options"]) == (
        "application/problem+json", "nosniff",
    )  # fmt: skip
    assert (await intake.rows("leads"), await intake.rows("outbox"), await intake.rows("idempotency_keys")) == (0, 0, 0)
