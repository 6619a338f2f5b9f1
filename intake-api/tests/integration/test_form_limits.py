"""Caps of the public form, its tokens, and the log of attempts."""

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from intake_api.use_cases.forget_form_state import forget_form_state

from deploy.local.testing import MigratedDatabase

from ..documents import lead_json
from .conftest import Intake, running

LEADS = "/api/v1/leads"


def limited(**limits: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("intake", [limits], indirect=True)


async def post(intake: Intake, number: int = 0, **headers: str) -> httpx.Response:
    return await intake.client.post(LEADS, json=lead_json(email=f"p{number}@example.com"), headers=headers)


@limited(limit_per_client="3/600")
async def test_s19_a_burst_is_429_and_its_retry_after_is_honest(intake: Intake) -> None:
    answers = await asyncio.gather(*(post(intake, number) for number in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [429] * 5
    refused = next(answer for answer in answers if answer.status_code == 429)
    wait = int(refused.headers["retry-after"])
    assert refused.json()["type"] == "urn:problem:limit-reached"
    assert 1 <= wait <= 600
    await intake.database.execute("UPDATE rate_counters SET ends_at = ends_at - make_interval(secs => $1)", float(wait))
    assert (await post(intake, 9)).status_code == 201


async def test_s19_replicas_share_their_counters(migrated_database: MigratedDatabase, tmp_path: Path) -> None:
    addresses = migrated_database("intake_api")
    async with (
        running(addresses, tmp_path, limit_per_client="3/600") as one,
        running(addresses, tmp_path, limit_per_client="3/600") as other,
    ):
        answers = [await post(replica, number) for number in range(3) for replica in (one, other)]
    assert [answer.status_code for answer in answers] == [201] * 3 + [429] * 3


@limited(limit_per_client="1/600")
async def test_s19_a_forged_header_does_not_bypass_the_cap(intake: Intake) -> None:
    assert (await post(intake, 1, **{"X-Forwarded-For": "198.51.100.1"})).status_code == 201
    assert (await post(intake, 2, **{"X-Forwarded-For": "198.51.100.2"})).status_code == 429


@limited(limit_per_client="1/600", trusted_proxies="127.0.0.0/8")
async def test_s19_a_trusted_proxy_says_who_the_client_is(intake: Intake) -> None:
    assert (await post(intake, 1, **{"X-Forwarded-For": "198.51.100.1"})).status_code == 201
    assert (await post(intake, 2, **{"X-Forwarded-For": "198.51.100.2"})).status_code == 201
    assert (await post(intake, 3, **{"X-Forwarded-For": "203.0.113.1, 198.51.100.1"})).status_code == 429


@limited(limit_per_recipient="2/600")
async def test_s15_an_address_is_written_to_so_often_and_no_more(intake: Intake) -> None:
    answers = [await intake.client.post(LEADS, json=lead_json(email="Victim@example.com")) for _ in range(2)]
    answers.append(await intake.client.post(LEADS, json=lead_json(email="victim@EXAMPLE.com")))
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert (await post(intake, 1)).status_code == 201
    assert await intake.rows("outbox") == 2


@limited(limit_per_recipient="2/600")
async def test_what_our_own_outage_refused_uses_up_no_cap(intake: Intake) -> None:
    intake.objects.write_text("no folder")
    refused = [await post(intake, 0, **{"Idempotency-Key": "same"}) for _ in range(3)]
    intake.objects.unlink()
    accepted = [await post(intake, 0, **{"Idempotency-Key": key}) for key in ("same", "other", "third")]
    assert [answer.status_code for answer in (*refused, *accepted)] == [503, 503, 503, 201, 201, 429]
    counted = await intake.database.fetchval("SELECT used FROM rate_counters WHERE key LIKE 'storage:%'")
    assert counted == await intake.database.fetchval("SELECT sum(resume_size) FROM submissions")


@limited(limit_overall="2/600")
async def test_s19_the_cap_of_all_and_a_repeated_request_that_uses_none(intake: Intake) -> None:
    assert (await post(intake, 1, **{"Idempotency-Key": "one"})).status_code == 201
    assert (await post(intake, 2)).status_code == 201
    assert (await post(intake, 3, **{"Idempotency-Key": "three"})).status_code == 429
    repeated = await post(intake, 1, **{"Idempotency-Key": "one"})
    assert (repeated.status_code, repeated.headers["idempotency-replayed"]) == (201, "true")
    assert await intake.rows("idempotency_keys") == 1


@pytest.mark.parametrize("intake", [{"storage_quota": 500}], indirect=True)
async def test_s22_a_days_bytes_are_bounded(intake: Intake) -> None:
    answers = [await post(intake, number) for number in range(5)]
    assert {answer.status_code for answer in answers} == {201, 429}
    assert answers[-1].json()["scope"] == "storage"
    assert await intake.database.fetchval("SELECT sum(resume_size) FROM submissions") <= 500


async def test_s64_with_the_counters_away_nothing_is_accepted(intake: Intake) -> None:
    await intake.database.execute("ALTER TABLE rate_counters RENAME TO rate_counters_away")
    answer = await post(intake)
    assert answer.status_code == 500
    assert (await intake.rows("leads"), intake.stored()) == (0, [])


async def test_s21_a_form_sent_back_at_once_is_quarantined(intake: Intake) -> None:
    note = (await intake.client.get("/api/v1/forms/token")).json()
    assert note["honeypot"] == "website"
    quick = await intake.client.post(LEADS, json=lead_json(form_token=note["form_token"]))
    assert (quick.status_code, quick.json()["status"]) == (201, "registered")
    row = await intake.database.fetchrow("SELECT status, quarantine_reasons FROM leads")
    assert (row["status"], json.loads(row["quarantine_reasons"])) == ("quarantined", ["form-filled-too-fast"])


@pytest.mark.parametrize("intake", [{"form_minimum_time": 0, "form_token_required": True}], indirect=True)
async def test_s21_a_valid_token_lets_a_form_through_where_tokens_are_required(intake: Intake) -> None:
    note = (await intake.client.get("/api/v1/forms/token")).json()
    await intake.client.post(LEADS, json=lead_json(form_token=note["form_token"]))
    assert await intake.database.fetchval("SELECT status FROM leads") == "registered"
    await post(intake, 1)
    assert await intake.database.fetchval("SELECT status FROM leads WHERE email = 'p1@example.com'") == "quarantined"


@limited(limit_per_client="5/600")
async def test_every_attempt_is_logged_with_outcome_and_reason_and_nothing_typed(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    key = {"Idempotency-Key": "a"}
    bodies = [lead_json(), lead_json(), lead_json(website="x"), lead_json(email="nobody", first_name=""), lead_json()]
    for body in (*bodies, lead_json(), lead_json()):
        await intake.client.post(LEADS, json=body, headers=key if body is bodies[0] else {})
    page = (await staff.get("/api/v1/captures")).json()
    told = [(one["outcome"], one["status"], one["reasons"], one["times"]) for one in reversed(page["items"])]
    assert told == [
        ("registered", 201, [], 1),
        ("joined", 201, [], 1),
        ("quarantined", 201, ["honeypot"], 1),
        ("refused", 422, ["email", "first_name"], 1),
        ("joined", 201, [], 1),
        ("limited", 429, ["client"], 2),
    ]
    rows = str(await intake.database.fetch("SELECT * FROM capture_log"))
    assert not [word for word in ("john", "doe", "nobody", "127.0.0.1") if word in rows.lower()]
    chosen = (await staff.get("/api/v1/captures", params={"outcome": "refused"})).json()
    assert chosen["total"] == 1


async def test_the_log_and_the_counters_are_bounded(intake: Intake) -> None:
    for number in range(4):
        await post(intake, number)
    await intake.database.execute("UPDATE rate_counters SET ends_at = now() - interval '1 s'")
    await forget_form_state(intake.sessions, intake.settings.model_copy(update={"capture_log_rows": 2}))
    assert (await intake.rows("capture_log"), await intake.rows("rate_counters")) == (2, 0)
    await intake.database.execute("UPDATE capture_log SET last_at = now() - interval '31 days'")
    await forget_form_state(intake.sessions, intake.settings)
    assert await intake.rows("capture_log") == 0
