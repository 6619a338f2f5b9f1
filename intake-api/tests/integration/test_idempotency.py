"""Idempotency-Key: one effect per key, whoever repeats it and when."""

import asyncio

import pytest
from intake_api.exceptions import StorageAwayError
from intake_api.use_cases.forget_form_state import forget_form_state
from intake_api.use_cases.forget_keys import forget_keys

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


async def test_f08_another_payload_is_422_and_after_its_expiry_a_new_request(intake: Intake) -> None:
    assert (await intake.client.post(LEADS, json=lead_json(), headers=KEY)).status_code == 201
    other = lead_json(message="more")
    assert (await intake.client.post(LEADS, json=other, headers=KEY)).status_code == 422
    await intake.database.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
    assert (await intake.client.post(LEADS, json=other, headers=KEY)).status_code == 201


async def test_f08_a_5xx_is_not_frozen_as_the_answer(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise StorageAwayError

    monkeypatch.setattr(intake.store, "put", away)
    assert (await intake.client.post(LEADS, json=lead_json(), headers=KEY)).status_code == 503
    monkeypatch.undo()
    answer = await intake.client.post(LEADS, json=lead_json(), headers=KEY)
    assert answer.status_code == 201
    assert "idempotency-replayed" not in answer.headers


async def test_s20_another_clients_replay_yields_nothing_of_the_first(intake: Intake) -> None:
    first = await intake.client.post(LEADS, json=lead_json(phone="+1 212 555 0100"), headers=KEY)
    stolen = await intake.client.post(LEADS, json=lead_json(first_name="Eve", email="eve@example.com"), headers=KEY)
    assert stolen.status_code == 422
    for part in (first.json()["id"], "John", "john.doe", "2125550100"):
        assert part not in stolen.text
    same = (await intake.client.post(LEADS, json=lead_json(phone="+1 212 555 0100"), headers=KEY)).text
    assert "2125550100" not in same


async def test_s20_a_key_of_10_kb_is_400(intake: Intake) -> None:
    answer = await intake.client.post(LEADS, json=lead_json(), headers={"Idempotency-Key": "k" * 10_240})
    assert answer.status_code == 400


async def test_s20_keys_are_bounded_and_expire(intake: Intake) -> None:
    for number in range(5):
        await intake.client.post(LEADS, json=lead_json(), headers={"Idempotency-Key": f"k{number}"})
    newest = await intake.database.fetchval("SELECT key_hash FROM idempotency_keys ORDER BY created_at DESC LIMIT 1")
    bounded = intake.settings.model_copy(update={"idempotency_max_keys": 1})
    await forget_form_state(intake.sessions, bounded)
    assert await intake.database.fetchval("SELECT array_agg(key_hash) FROM idempotency_keys") == [newest]
    await intake.database.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
    await forget_keys(intake.sessions, intake.settings.idempotency_lifetime)
    assert await intake.rows("idempotency_keys") == 0
