"""The link that is mailed to a prospect's own address: who gets one, what it opens, and when it is over."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from intake_api.use_cases.request_link import answer_wishes, forget_links
from service_chassis.prospect_link import LinkTokens

from ..documents import lead_json
from .conftest import Intake
from .test_change_lead import new_attorney, said
from .test_events import assigned, hear

LEADS = "/api/v1/leads"
LINKS = "/api/v1/prospects/links"
MINE = "/api/v1/prospects/leads"
WITHDRAWALS = "/api/v1/prospects/withdrawals"
ERASURES = "/api/v1/prospects/erasures"
EMAIL = "Jane.Roe@example.com"

Used = tuple[str, str]
ROUTES: tuple[Used, ...] = (("GET", MINE), ("POST", WITHDRAWALS), ("POST", ERASURES))


async def submitted(intake: Intake, **fields: Any) -> str:
    answer = await intake.client.post(LEADS, json=lead_json(**{"email": EMAIL, **fields}))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def ask(intake: Intake, email: str = EMAIL) -> httpx.Response:
    return await intake.client.post(LINKS, json={"email": email}, headers={"Authorization": ""})


async def linked(intake: Intake, email: str = EMAIL) -> str:
    """Ask for a link; return the token that its mail holds."""
    assert (await ask(intake, email)).status_code == 202
    await answer_wishes(intake.sessions)
    (event,) = [one for one in await said(intake) if one["type"] == "prospect-link.requested.v1"]
    await intake.database.execute("DELETE FROM outbox")
    assert event["email"].lower() == email.lower()
    return token_of(intake, event["link_id"], datetime.fromisoformat(event["expires_at"]))


def token_of(intake: Intake, link_id: str, expires_at: datetime) -> str:
    return LinkTokens(intake.settings.link_key).issue(UUID(link_id), expires_at)


async def use(intake: Intake, token: str, method: str = "GET", path: str = MINE) -> httpx.Response:
    return await intake.client.request(method, path, headers={"Authorization": "", "Prospect-Link": token})


async def standings(intake: Intake, token: str) -> list[str]:
    answer = await use(intake, token)
    assert answer.status_code == 200, answer.text
    return [one["standing"] for one in answer.json()["items"]]


async def opens_nothing(intake: Intake, token: str) -> None:
    """Every route answers as it does to a token that never was."""
    never = await use(intake, "never")
    assert (never.status_code, never.json()["type"]) == (404, "urn:problem:link-not-found")
    for method, path in ROUTES:
        answer = await use(intake, token, method, path)
        assert (answer.status_code, answer.text) == (404, never.text), (method, path)


async def test_known_and_unknown_addresses_get_one_answer_and_leave_one_trace(intake: Intake) -> None:
    await submitted(intake)
    await intake.database.execute("DELETE FROM outbox")
    answers = [await ask(intake, email) for email in (EMAIL, "nobody@example.com")]
    shown = [(answer.status_code, answer.content, sorted(answer.headers)) for answer in answers]
    assert shown[0] == shown[1]
    assert (shown[0][0], shown[0][1]) == (202, b"")
    rows = await intake.database.fetch("SELECT lead_id, revoked_at FROM prospect_links")
    assert [tuple(row) for row in rows] == [(None, None)] * 2, "the request looks nobody up"
    assert await said(intake) == []


async def test_only_a_known_address_gets_a_mail_and_of_an_unknown_one_nothing_is_left(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    lead = await submitted(intake)
    await intake.database.execute("DELETE FROM outbox")
    await ask(intake, "nobody@example.com")
    await ask(intake, EMAIL.upper())
    await answer_wishes(intake.sessions)
    (event,) = await said(intake)
    assert (event["type"], event["lead_id"], event["email"]) == ("prospect-link.requested.v1", lead, EMAIL)
    assert set(event) == {"type", "link_id", "lead_id", "email", "expires_at"}
    (row,) = await intake.database.fetch("SELECT * FROM prospect_links")
    assert (str(row["id"]), str(row["lead_id"]), row["email_key"]) == (event["link_id"], lead, None)
    timeline = (await staff.get(f"{LEADS}/{lead}/timeline")).json()["items"]
    assert (timeline[-1]["type"], timeline[-1]["actor"]) == ("prospect-link.requested", "prospect")


async def test_a_wish_is_answered_once_by_however_many_workers(intake: Intake) -> None:
    await submitted(intake)
    await intake.database.execute("DELETE FROM outbox")
    await ask(intake)
    await asyncio.gather(*(answer_wishes(intake.sessions) for _ in range(3)))
    assert len(await said(intake)) == 1


@pytest.mark.parametrize("body", [{}, {"email": "nobody"}, {"email": "a@b.example, c@d.example"}, {"email": 7}])
async def test_what_is_no_address_is_refused_and_stored_nowhere(intake: Intake, body: dict[str, Any]) -> None:
    answer = await intake.client.post(LINKS, json=body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "email")
    assert await intake.rows("prospect_links") == 0


@pytest.mark.parametrize("intake", [{"limit_per_recipient": "2/600"}], indirect=True)
async def test_s15_an_address_is_sent_so_many_links_and_its_submissions_are_counted_apart(intake: Intake) -> None:
    for email in (EMAIL, "nobody@example.com"):
        answers = [await ask(intake, email) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [202, 202, 429], email
        assert answers[-1].json()["scope"] == "link-recipient"
    await submitted(intake)


@pytest.mark.parametrize("intake", [{"limit_per_client": "2/600"}], indirect=True)
async def test_s19_a_client_asks_for_so_many_links(intake: Intake) -> None:
    answers = [await ask(intake, f"{number}@example.com") for number in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert await intake.rows("prospect_links") == 2


async def test_the_link_shows_where_the_leads_are_and_nothing_of_the_firm(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    ada = await new_attorney(staff, intake)
    older = await submitted(intake)
    await staff.patch(f"{LEADS}/{older}", json={"status": "declined"})
    lead = await submitted(intake)
    token = await linked(intake)
    assert await standings(intake, token) == ["closed", "received"]
    await hear(intake, assigned(lead, ada))
    assert await standings(intake, token) == ["closed", "received"], "who has time for it is not shown"
    await staff.patch(f"{LEADS}/{lead}", json={"status": "reached_out"})
    answer = await use(intake, token)
    assert set(answer.json()["items"][1]) == {"standing", "received_at", "answered_at"}
    assert answer.json()["items"][1]["standing"] == "answered"
    assert answer.json()["items"][1]["answered_at"] is not None
    await staff.patch(f"{LEADS}/{lead}", json={"status": "retained"})
    assert await standings(intake, token) == ["closed", "engaged"]


async def test_a_quarantined_lead_is_shown_as_any_other_and_can_be_withdrawn(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    lead = await submitted(intake, first_name="<b>Bold</b>")
    token = await linked(intake)
    assert await standings(intake, token) == ["received"]
    assert (await use(intake, token, "POST", WITHDRAWALS)).status_code == 200
    assert (await staff.get(f"{LEADS}/{lead}")).json()["status"] == "discarded"
    assert await said(intake) == [], "nobody has heard of it"


async def test_withdrawing_ends_the_open_lead_as_staff_would_and_only_once(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    lead = await submitted(intake)
    other = await submitted(intake, email="other@example.com")
    token = await linked(intake)
    for _ in range(2):
        answer = await use(intake, token, "POST", WITHDRAWALS)
        assert (answer.status_code, [one["standing"] for one in answer.json()["items"]]) == (200, ["closed"])
    assert [event["type"] for event in await said(intake)] == ["lead.closed.v1", "outreach.cancelled.v1"]
    assert {event["lead_id"] for event in await said(intake)} == {lead}
    assert (await staff.get(f"{LEADS}/{lead}")).json()["status"] == "declined"
    assert (await staff.get(f"{LEADS}/{other}")).json()["status"] == "registered"
    moved = (await staff.get(f"{LEADS}/{lead}/timeline")).json()["items"][-1]
    assert (moved["type"], moved["actor"], moved["detail"]["to"]) == ("lead.status-changed", "prospect", "declined")


async def test_what_a_prospect_does_is_audited_as_theirs(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead = await submitted(intake)
    token = await linked(intake)
    for method, path in ROUTES:
        await use(intake, token, method, path)
    rows = (await staff.get("/api/v1/audit")).json()["items"]
    theirs = [(row["action"], row["lead_id"]) for row in reversed(rows) if row["actor"] == "prospect"]
    assert theirs == [("get_prospect_leads", lead), ("withdraw_lead", lead), ("erase_lead", lead)]
    assert (await staff.get("/api/v1/audit/verification")).json()["broken_seq"] is None


async def test_erasing_takes_all_leads_of_the_address_and_the_link_itself(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    older = await submitted(intake)
    await staff.patch(f"{LEADS}/{older}", json={"status": "declined"})
    lead, other = await submitted(intake), await submitted(intake, email="other@example.com")
    token = await linked(intake)
    await ask(intake)
    answer = await use(intake, token, "POST", ERASURES)
    assert (answer.status_code, answer.json()) == (202, {"leads": 2})
    assert await intake.rows("prospect_links") == 0, "links and wishes are gone"
    assert {event["lead_id"] for event in await said(intake)} == {older, lead}
    assert {event["type"] for event in await said(intake)} == {"lead.erased.v1"}
    receipt = (await staff.get(f"/api/v1/erasures/{lead}")).json()
    assert (receipt["requested_by"], receipt["reason"]) == ("prospect", "requested")
    assert (await staff.get(f"{LEADS}/{other}")).status_code == 200
    await opens_nothing(intake, token)


async def test_a_legal_hold_keeps_what_it_is_on_and_is_not_told(intake: Intake, staff: httpx.AsyncClient) -> None:
    older = await submitted(intake)
    await staff.patch(f"{LEADS}/{older}", json={"status": "declined"})
    lead = await submitted(intake)
    token = await linked(intake)
    await staff.put(f"{LEADS}/{lead}/legal-hold", json={"reference": "2026-1"})
    answer = await use(intake, token, "POST", ERASURES)
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:problem:data-kept")
    assert "hold" not in answer.text
    assert (await staff.get(f"{LEADS}/{lead}")).status_code == 200
    assert (await staff.get(f"{LEADS}/{older}")).status_code == 404
    assert await standings(intake, token) == ["received"]


@pytest.mark.parametrize("change", [lambda token: token[:-2], lambda token: f"{token}x", lambda token: f"x{token[1:]}"])
async def test_a_changed_token_opens_nothing(intake: Intake, change: Any) -> None:
    await submitted(intake)
    await opens_nothing(intake, change(await linked(intake)))


async def test_a_token_of_another_key_purpose_or_link_opens_nothing(intake: Intake) -> None:
    answer = await intake.client.post(LEADS, json=lead_json(email=EMAIL))
    receipt = answer.json()["receipt_url"].rpartition("/")[2]
    await linked(intake)
    link_id = str(await intake.database.fetchval("SELECT id FROM prospect_links"))
    later = datetime.now(UTC) + timedelta(hours=1)
    of_another_key = LinkTokens(intake.settings.auth_secret).issue(UUID(link_id), later)
    for token in (receipt, of_another_key, token_of(intake, str(uuid4()), later), "", "x" * 5000):
        await opens_nothing(intake, token)


async def test_a_link_whose_time_is_over_opens_nothing_and_goes(intake: Intake) -> None:
    await submitted(intake)
    token = await linked(intake)
    assert (await use(intake, token)).status_code == 200
    link_id = str(await intake.database.fetchval("SELECT id FROM prospect_links"))
    await opens_nothing(intake, token_of(intake, link_id, datetime.now(UTC) - timedelta(seconds=1)))
    await intake.database.execute("UPDATE prospect_links SET expires_at = now() - interval '1 second'")
    await opens_nothing(intake, token)
    await forget_links(intake.sessions)
    assert await intake.rows("prospect_links") == 0


async def test_staff_revoke_all_links_of_an_address(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead = await submitted(intake)
    await submitted(intake, email="other@example.com")
    tokens = [await linked(intake), await linked(intake)]
    others = await linked(intake, "other@example.com")
    assert (await staff.delete(f"{LEADS}/{lead}/prospect-links")).status_code == 204
    for token in tokens:
        await opens_nothing(intake, token)
    assert await standings(intake, others) == ["received"]
    assert (await staff.delete(f"{LEADS}/{uuid4()}/prospect-links")).status_code == 404


async def test_a_link_is_no_login(intake: Intake, staff: httpx.AsyncClient) -> None:
    await submitted(intake)
    token = await linked(intake)
    assert (await staff.get(LEADS, headers={"Authorization": f"Bearer {token}"})).status_code == 401


async def test_a_lead_merged_into_one_of_another_address_is_not_opened_by_either_stranger(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    mine, other = await submitted(intake), await submitted(intake, email="other@example.com")
    token = await linked(intake)
    merged = await staff.post(f"{LEADS}/{mine}/merge", json={"into": other})
    assert merged.status_code == 200, merged.text
    assert (await use(intake, token)).json() == {"items": []}
    assert (await use(intake, token, "POST", ERASURES)).json()["type"] == "urn:problem:data-kept"
    assert (await staff.get(f"{LEADS}/{other}")).status_code == 200
