"""The prospect's receipt: a private link to one submission, and to nothing else."""

from typing import Any
from uuid import UUID

import httpx
import pytest
import structlog
from intake_api.main import build
from intake_api.use_cases.sweep_resumes import sweep_resumes
from pydantic import SecretStr

from ..documents import DOCX, PDF, lead_json
from .conftest import Intake

LEADS = "/api/v1/leads"


async def submit(intake: Intake, **fields: Any) -> dict[str, Any]:
    answer = await intake.client.post(LEADS, json=lead_json(**fields), headers={"Authorization": ""})
    assert answer.status_code == 201
    body: dict[str, Any] = answer.json()
    return body


async def put(intake: Intake, url: str, document: bytes, name: str) -> httpx.Response:
    return await intake.client.put(f"{url}/resume", files={"resume": (name, document)}, headers={"Authorization": ""})


async def test_the_receipt_says_whether_it_was_seen_and_nothing_of_the_lead(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    submitted = await submit(intake)
    receipt = (await intake.client.get(submitted["receipt_url"], headers={"Authorization": ""})).json()
    assert receipt == {
        "reference": submitted["reference"],
        "received_at": submitted["created_at"],
        "seen": False,
        "resume_filename": "resume.pdf",
    }
    await staff.get(LEADS)
    assert (await intake.client.get(submitted["receipt_url"])).json()["seen"] is False
    detail = (await staff.get(f"{LEADS}/{submitted['id']}")).json()
    assert detail["submissions"][0]["reference"] == submitted["reference"]
    assert (await intake.client.get(submitted["receipt_url"])).json()["seen"] is True


async def test_only_the_submission_whose_resume_was_opened_is_seen(intake: Intake, staff: httpx.AsyncClient) -> None:
    first, second = await submit(intake), await submit(intake, first_name="Johnny")
    assert first["id"] == second["id"]
    assert first["reference"] != second["reference"]
    assert (await staff.get(f"{LEADS}/{first['id']}/resume")).status_code == 200
    seen = [(await intake.client.get(one["receipt_url"])).json()["seen"] for one in (first, second)]
    assert seen == [True, False]


async def test_an_integration_sees_nothing_for_the_firm(intake: Intake, staff: httpx.AsyncClient) -> None:
    submitted = await submit(intake)
    new_key = {"name": "an integration", "scopes": ["leads:read"]}
    key = (await staff.post("/api/v1/api-keys", json=new_key)).json()["key"]
    lead = await staff.get(f"{LEADS}/{submitted['id']}", headers={"Authorization": f"Bearer {key}"})
    assert lead.status_code == 200
    assert (await intake.client.get(submitted["receipt_url"])).json()["seen"] is False


async def test_a_repeated_request_gives_the_same_receipt(intake: Intake) -> None:
    headers = {"Idempotency-Key": "one"}
    answers = [await intake.client.post(LEADS, json=lead_json(), headers=headers) for _ in range(2)]
    assert answers[0].json() == answers[1].json()


async def test_a_replaced_resume_is_what_staff_open_and_the_old_one_is_gone(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    submitted = await submit(intake)
    [before] = intake.stored()
    answer = await put(intake, submitted["receipt_url"], DOCX, "newer.docx")
    assert (answer.status_code, answer.json()["resume_filename"]) == (200, "newer.docx")
    resume = await staff.get(f"{LEADS}/{submitted['id']}/resume")
    assert (resume.content, len(intake.stored())) == (DOCX, 1)
    assert before not in intake.stored()
    types = [entry["type"] for entry in (await staff.get(f"{LEADS}/{submitted['id']}/timeline")).json()["items"]]
    assert "submission.resume-replaced" in types


async def test_a_replacement_is_checked_like_a_first_resume(intake: Intake) -> None:
    submitted = await submit(intake)
    bad = await put(intake, submitted["receipt_url"], b"MZ\x90\x00", "resume.pdf")
    assert (bad.status_code, bad.json()["errors"][0]["field"]) == (415, "resume")
    none = await intake.client.put(f"{submitted['receipt_url']}/resume", json={})
    assert (none.status_code, none.json()["errors"][0]["field"]) == (422, "resume")
    large = await put(intake, submitted["receipt_url"], b"%PDF-1.4" + b" " * 15_000_000, "resume.pdf")
    assert large.status_code == 413
    assert [path.read_bytes() for path in intake.stored()] == [PDF]


async def test_a_withdrawn_resume_is_gone_for_everybody_and_can_come_back(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    submitted = await submit(intake)
    for _ in range(2):
        assert (await intake.client.delete(f"{submitted['receipt_url']}/resume")).status_code == 204
    assert intake.stored() == []
    gone = await staff.get(f"{LEADS}/{submitted['id']}/resume")
    assert (gone.status_code, gone.json()["type"]) == (410, "urn:problem:resume-withdrawn")
    assert (await intake.client.get(submitted["receipt_url"])).json()["resume_filename"] is None
    swept = await sweep_resumes(intake.sessions, intake.store, grace=0)
    assert (swept.orphans, swept.dangling) == (0, ())
    assert (await put(intake, submitted["receipt_url"], PDF, "again.pdf")).status_code == 200
    assert (await staff.get(f"{LEADS}/{submitted['id']}/resume")).content == PDF


async def test_a_revoked_link_is_as_good_as_none(intake: Intake) -> None:
    submitted, other = await submit(intake), await submit(intake, email="other@example.com")
    url = submitted["receipt_url"]
    assert (await intake.client.delete(url)).status_code == 204
    invented = await intake.client.get("/api/v1/receipts/invented")
    answers = [
        await intake.client.get(url),
        await intake.client.delete(f"{url}/resume"),
        await put(intake, url, PDF, "x"),
    ]
    assert {(answer.status_code, answer.text) for answer in answers} == {(404, invented.text)}
    assert (await intake.client.get(other["receipt_url"])).status_code == 200
    assert len(intake.stored()) == 2


@pytest.mark.parametrize("change", [lambda token: token[:-1], lambda token: f"{token}x", lambda token: f"x{token[1:]}"])
async def test_a_changed_link_is_none(intake: Intake, change: Any) -> None:
    token = (await submit(intake))["receipt_url"].rpartition("/")[2]
    assert (await intake.client.get(f"/api/v1/receipts/{change(token)}")).status_code == 404


async def test_a_strangers_link_reaches_only_what_the_stranger_sent(intake: Intake, staff: httpx.AsyncClient) -> None:
    victims, strangers = await submit(intake), await submit(intake, first_name="Stranger")
    assert victims["id"] == strangers["id"]
    assert (await put(intake, strangers["receipt_url"], DOCX, "strangers.docx")).status_code == 200
    assert (await intake.client.delete(f"{strangers['receipt_url']}/resume")).status_code == 204
    assert (await intake.client.delete(strangers["receipt_url"])).status_code == 204
    kept = (await intake.client.get(victims["receipt_url"])).json()
    assert (kept["reference"], kept["resume_filename"]) == (victims["reference"], "resume.pdf")
    assert (await staff.get(f"{LEADS}/{victims['id']}/resume")).content == PDF


async def test_a_link_with_anothers_signature_is_none(intake: Intake) -> None:
    mine, others = await submit(intake), await submit(intake, email="other@example.com")
    forged = others["receipt_url"].rpartition(".")[0] + "." + mine["receipt_url"].rpartition(".")[2]
    assert (await intake.client.get(forged)).status_code == 404
    assert (await intake.client.delete(f"{forged}/resume")).status_code == 404
    assert len(intake.stored()) == 2


async def test_no_log_line_names_a_link(intake: Intake) -> None:
    url = (await submit(intake))["receipt_url"]
    with structlog.testing.capture_logs() as logged:
        await intake.client.get(url)
        await put(intake, url, b"MZ\x90\x00", "x")
        await intake.client.delete(f"{url}/resume")
        await intake.client.delete(url)
        await intake.client.get(url)
    lines = [line for line in logged if line["event"] == "request"]
    assert [line["status"] for line in lines] == [200, 415, 204, 204, 404]
    assert url.rpartition("/")[2] not in str(logged)


async def test_a_link_is_no_login_and_a_cursor_is_no_link(intake: Intake, staff: httpx.AsyncClient) -> None:
    token = (await submit(intake))["receipt_url"].rpartition("/")[2]
    await submit(intake, email="other@example.com")
    assert (await staff.get(LEADS, headers={"Authorization": f"Bearer {token}"})).status_code == 401
    cursor = (await staff.get(LEADS, params={"limit": 1})).json()["next_cursor"]
    assert (await intake.client.get(f"/api/v1/receipts/{cursor}")).status_code == 404


async def test_a_legal_hold_keeps_the_resume(intake: Intake, staff: httpx.AsyncClient) -> None:
    submitted = await submit(intake)
    hold = await staff.put(f"{LEADS}/{submitted['id']}/legal-hold", json={"reference": "2026-1"})
    assert hold.status_code == 200
    for answer in (
        await intake.client.delete(f"{submitted['receipt_url']}/resume"),
        await put(intake, submitted["receipt_url"], DOCX, "x.docx"),
    ):
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:problem:resume-kept")
        assert "hold" not in answer.text
    assert (await staff.get(f"{LEADS}/{submitted['id']}/resume")).content == PDF


@pytest.mark.parametrize("intake", [{"form_secret": "the-secret-of-the-form-long-enough"}], indirect=True)
@pytest.mark.parametrize(("secret", "status"), [("auth_secret", 200), ("form_secret", 404)])
async def test_links_outlive_the_logins_key_and_end_with_the_forms_secret(
    intake: Intake, secret: str, status: int
) -> None:
    url = (await submit(intake))["receipt_url"]
    another = SecretStr("another-secret-that-is-long-enough-too")
    app = build(intake.settings.model_copy(update={secret: another}), intake.store)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://intake") as client,
        app.router.lifespan_context(app),
    ):
        assert (await client.get(url)).status_code == status


async def test_replacing_counts_against_the_clients_cap(intake: Intake) -> None:
    submitted = await submit(intake)
    app = build(intake.settings.model_copy(update={"limit_per_client": "2/3600"}), intake.store)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    files = {"resume": ("x.pdf", PDF)}
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://intake") as client,
        app.router.lifespan_context(app),
    ):
        answers = [await client.put(f"{submitted['receipt_url']}/resume", files=files) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]


async def test_erasure_takes_the_receipt_along(intake: Intake, staff: httpx.AsyncClient) -> None:
    submitted = await submit(intake)
    await staff.get(f"{LEADS}/{submitted['id']}")
    assert (await staff.delete(f"{LEADS}/{submitted['id']}")).status_code == 202
    assert await intake.rows("receipts") == 0
    assert await intake.database.fetchval("SELECT count(*) FROM leads WHERE id = $1", UUID(submitted["id"])) == 0
    assert (await intake.client.get(submitted["receipt_url"])).status_code == 404
