"""Idempotency-Key: one effect per key, whoever repeats it and when."""

import asyncio

from ..documents import DOCX, lead_json
from .conftest import Intake

LEADS = "/api/v1/leads"
KEY = {"Idempotency-Key": "7f9c-one"}


async def test_a_repeated_request_gets_the_same_answer(intake: Intake) -> None:
    first = await intake.client.post(LEADS, json=lead_json(), headers=KEY)
    again = await intake.client.post(LEADS, json=lead_json(), headers=KEY)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert await intake.rows("submissions") == 1


async def test_the_other_encoding_of_the_same_submission_is_the_same_request(intake: Intake) -> None:
    fields = {"first_name": "Ann", "last_name": "Lee", "email": "ann@example.com"}
    await intake.client.post(LEADS, json=lead_json(DOCX, **fields, resume_filename="cv.docx"), headers=KEY)
    form = await intake.client.post(LEADS, data=fields, files={"resume": ("cv.docx", DOCX)}, headers=KEY)
    assert form.status_code == 201
    assert await intake.rows("submissions") == 1


async def test_another_body_under_the_same_key_is_422(intake: Intake) -> None:
    await intake.client.post(LEADS, json=lead_json(), headers=KEY)
    other = await intake.client.post(LEADS, json=lead_json(first_name="Jane"), headers=KEY)
    assert (other.status_code, other.json()["type"]) == (422, "urn:problem:idempotency-key-reused")


async def test_a_key_still_running_is_409_until_its_lease_ends(intake: Intake) -> None:
    await intake.client.post(LEADS, json=lead_json(), headers=KEY)
    await intake.database.execute("UPDATE idempotency_keys SET submission_id = NULL")
    running = await intake.client.post(LEADS, json=lead_json(), headers=KEY)
    assert running.status_code == 409
    assert 1 <= int(running.headers["retry-after"]) <= 60
    await intake.database.execute("UPDATE idempotency_keys SET lease_until = now() - interval '1 second'")
    taken = await intake.client.post(LEADS, json=lead_json(), headers=KEY)
    assert taken.status_code == 201


async def test_twenty_at_once_have_one_effect(intake: Intake) -> None:
    answers = await asyncio.gather(*(intake.client.post(LEADS, json=lead_json(), headers=KEY) for _ in range(20)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
    assert await intake.rows("submissions") == 1


async def test_a_key_is_forgotten_after_its_lifetime(intake: Intake) -> None:
    await intake.client.post(LEADS, json=lead_json(), headers=KEY)
    await intake.database.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
    other = await intake.client.post(LEADS, json=lead_json(first_name="Jane"), headers=KEY)
    assert other.status_code == 201


async def test_nothing_typed_is_stored_with_a_key(intake: Intake) -> None:
    await intake.client.post(LEADS, json=lead_json(), headers=KEY)
    row = str(await intake.database.fetchrow("SELECT * FROM idempotency_keys"))
    assert "7f9c-one" not in row
    assert "example.com" not in row


async def test_an_unusable_key_is_400(intake: Intake) -> None:
    for key in ("", "x" * 256, "with space"):
        answer = await intake.client.post(LEADS, json=lead_json(), headers={"Idempotency-Key": key})
        assert answer.status_code == 400, key
    assert await intake.rows("submissions") == 0
