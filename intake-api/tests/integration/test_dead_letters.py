"""Dead letters: seen, sent again to the queue that failed, or discarded; twice without harm."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from intake_api.use_cases import handle_dead_letters as module
from intake_api.use_cases.forget_dead_letters import forget_dead_letters
from intake_api.use_cases.record_dead_letter import record_dead_letter
from shared_schemas.events import MessageDeadLettered

from .conftest import ADMIN, Intake

DEAD = "/api/v1/dead-letters"


async def bury(intake: Intake, **changes: Any) -> str:
    fields: dict[str, Any] = {
        "queue": "mailer.outreach",
        "message_id": str(uuid4()),
        "message_type": "lead.assigned.v1",
        "headers": {"traceparent": "00-a-b-01"},
        "correlation_id": "c" * 32,
        "lead_id": uuid4(),
        "attempts": 5,
        "error_type": "KeyError",
        "error_place": "module:7",
        "body": b'{"raw": true}',
        **changes,
    }
    async with intake.sessions.begin() as session:
        await record_dead_letter(session, MessageDeadLettered(**fields))
    return str(await intake.database.fetchval("SELECT id FROM dead_letters ORDER BY first_at DESC LIMIT 1"))


async def test_they_are_listed_by_what_is_asked(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead = uuid4()
    await bury(intake)
    wanted = await bury(intake, queue="assignment.leads", lead_id=lead)
    page = (await staff.get(DEAD, params={"queue": "assignment.leads", "lead_id": str(lead), "status": "open"})).json()
    assert ([item["id"] for item in page["items"]], page["total"]) == ([wanted], 1)
    assert (await staff.get(DEAD)).json()["total"] == 2
    shown = (await staff.get(f"{DEAD}/{wanted}")).json()
    assert (shown["body_base64"], shown["error_place"]) == ("eyJyYXciOiB0cnVlfQ==", "module:7")


async def test_a_replay_is_addressed_to_the_queue_that_failed_and_made_once(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    letter = await bury(intake)
    first = await staff.post(f"{DEAD}/{letter}/replay")
    again = await staff.post(f"{DEAD}/{letter}/replay")
    assert (first.json()["status"], again.json()["status"]) == ("replayed", "replayed")
    [row] = await intake.database.fetch("SELECT * FROM outbox")
    dead = await intake.database.fetchrow("SELECT * FROM dead_letters")
    assert (row["exchange"], row["routing_key"]) == ("", "mailer.outreach")
    assert (row["event_id"], row["type"], row["body"]) == (dead["message_id"], dead["message_type"], dead["body"])


async def test_all_that_match_are_replayed_and_the_rest_is_counted(intake: Intake, staff: httpx.AsyncClient) -> None:
    for _ in range(3):
        await bury(intake)
    await bury(intake, queue="assignment.leads")
    await bury(intake, body_truncated=True)
    answer = await staff.post(f"{DEAD}/replay", json={"queue": "mailer.outreach"})
    said = answer.json()
    assert (said["replayed"], said["not_replayable"]) == (3, 1)
    again = (await staff.post(f"{DEAD}/replay", json={})).json()
    assert (again["replayed"], again["not_replayable"]) == (1, 1)
    assert await intake.rows("outbox") == 4


async def test_those_that_cannot_be_replayed_do_not_hold_back_the_rest(
    intake: Intake, staff: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REPLAY_LIMIT", 2)
    for changes in ({"body_truncated": True}, {"body": b""}, {"message_id": None}, {"message_type": None}):
        await bury(intake, **changes)
    for _ in range(3):
        await bury(intake)
    said = [(await staff.post(f"{DEAD}/replay", json={})).json() for _ in range(3)]
    assert [(one["replayed"], one["not_replayable"]) for one in said] == [(2, 4), (1, 4), (0, 4)]
    assert await intake.rows("outbox") == 3


async def test_what_fails_again_meanwhile_is_not_sent_once_more(intake: Intake, staff: httpx.AsyncClient) -> None:
    letter = str(uuid4())
    await bury(intake, message_id=letter)
    first = (await staff.post(f"{DEAD}/replay", json={})).json()
    await bury(intake, message_id=letter)
    bounded = (await staff.post(f"{DEAD}/replay", json={"failed_before": first["failed_before"]})).json()
    assert (first["replayed"], bounded["replayed"]) == (1, 0)
    assert (await staff.post(f"{DEAD}/replay", json={})).json()["replayed"] == 1


@pytest.mark.parametrize("changes", [{"body_truncated": True}, {"message_id": None}])
async def test_what_cannot_be_replayed_says_why(
    intake: Intake, staff: httpx.AsyncClient, changes: dict[str, Any]
) -> None:
    letter = await bury(intake, **changes)
    answer = await staff.post(f"{DEAD}/{letter}/replay")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:problem:not-replayable")
    assert await intake.rows("outbox") == 0


async def test_a_discard_needs_a_reason_and_is_final_until_it_fails_again(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    letter = await bury(intake)
    assert (await staff.post(f"{DEAD}/{letter}/discard", json={})).status_code == 422
    done = (await staff.post(f"{DEAD}/{letter}/discard", json={"reason": "a test message"})).json()
    assert (done["status"], done["resolution"]) == ("discarded", "a test message")
    assert (await staff.post(f"{DEAD}/replay", json={})).json()["replayed"] == 0


async def test_only_an_open_one_is_discarded(intake: Intake, staff: httpx.AsyncClient) -> None:
    """One on its way again is not, and the first reason and name stay on record."""
    on_its_way, discarded = await bury(intake), await bury(intake)
    await staff.post(f"{DEAD}/{on_its_way}/replay")
    await staff.post(f"{DEAD}/{discarded}/discard", json={"reason": "the first"})
    before = await intake.database.fetch("SELECT * FROM dead_letters ORDER BY id")
    for letter, status in ((on_its_way, "replayed"), (discarded, "discarded")):
        answer = await staff.post(f"{DEAD}/{letter}/discard", json={"reason": "the second"})
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:problem:dead-letter-not-open")
        assert status in answer.json()["detail"]
    assert await intake.database.fetch("SELECT * FROM dead_letters ORDER BY id") == before


async def test_unknown_ones_are_404(staff: httpx.AsyncClient) -> None:
    for method, path in (("GET", ""), ("POST", "/replay")):
        assert (await staff.request(method, f"{DEAD}/{uuid4()}{path}")).status_code == 404


async def test_only_operators_and_admins_operate(intake: Intake, staff: httpx.AsyncClient) -> None:
    for role, allowed in (("operator", 200), ("intake", 403), ("attorney", 403)):
        await intake.database.execute("UPDATE accounts SET role = $1", role)
        token = (await staff.post("/api/v1/auth/token", data={"username": ADMIN[0], "password": ADMIN[1]})).json()
        headers = {"Authorization": f"Bearer {token['access_token']}"}
        assert (await staff.get(DEAD, headers=headers)).status_code == allowed, role
        assert (await staff.get("/api/v1/stuck-leads", headers=headers)).status_code == allowed, role


async def test_old_ones_are_forgotten(intake: Intake) -> None:
    await bury(intake)
    await intake.database.execute("UPDATE dead_letters SET last_at = now() - interval '31 days'")
    kept = await bury(intake)
    await forget_dead_letters(intake.sessions, 30)
    assert [str(row["id"]) for row in await intake.database.fetch("SELECT id FROM dead_letters")] == [kept]
