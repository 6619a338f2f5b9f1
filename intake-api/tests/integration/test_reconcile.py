"""Stuck leads: found by docs/design.md, invariant 5, stated again within bounds, never moved by hand."""

import json
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from intake_api.use_cases import reconcile as module
from intake_api.use_cases.reconcile import find_stuck, reconcile, repair_lead
from service_chassis.database import make_engine, make_sessions
from service_chassis.settings import DatabaseGroup
from sqlalchemy import text
from structlog.testing import capture_logs

from .conftest import Intake
from .test_change_lead import new_attorney, new_lead
from .test_dead_letters import bury

AFTER = 900.0


async def said(intake: Intake) -> list[dict[str, Any]]:
    rows = await intake.database.fetch("SELECT type, body FROM outbox ORDER BY id")
    return [{"type": row["type"], **json.loads(row["body"])} for row in rows]


async def age(intake: Intake, lead: str, minutes: int = 16) -> None:
    await intake.database.execute(
        "UPDATE leads SET updated_at = now() - make_interval(mins => $1) WHERE id = $2", minutes, UUID(lead)
    )


async def stuck_ids(intake: Intake) -> set[str]:
    async with intake.sessions() as session:
        return {str(one.lead_id) for one in await find_stuck(session, AFTER)}


@pytest.mark.parametrize(
    ("columns", "is_stuck"),
    [
        ({"status": "registered"}, True),
        ({"status": "registered", "waiting_reason": "nobody_available"}, False),
        ({"status": "reached_out"}, True),
        ({"status": "assigned", "owner": True}, True),
        ({"status": "assigned", "owner": True, "next": "now() + interval '1 hour'"}, False),
        ({"status": "assigned", "owner": True, "next": "now() - interval '10 minutes'"}, False),
        ({"status": "assigned", "owner": True, "next": "now() - interval '16 minutes'"}, True),
        ({"status": "assigned", "owner": True, "outreach_reason": "relay_away"}, False),
        ({"status": "reached_out", "owner": True}, False),
        ({"status": "outreach_failed", "owner": True}, False),
        ({"status": "declined"}, False),
        ({"status": "quarantined"}, False),
    ],
)
async def test_which_leads_are_stuck(
    intake: Intake, staff: httpx.AsyncClient, columns: dict[str, Any], is_stuck: bool
) -> None:
    owner, due = columns.pop("owner", False), columns.pop("next", None)
    if owner:
        columns["assigned_to"] = UUID(await new_attorney(staff, intake))
    lead = await new_lead(intake, **columns)
    if due:
        await intake.database.execute(f"UPDATE leads SET outreach_next_at = {due}")  # noqa: S608 - a test's own words
    assert await stuck_ids(intake) == set()
    await age(intake, lead)
    assert await stuck_ids(intake) == ({lead} if is_stuck else set())
    shown = (await staff.get("/api/v1/stuck-leads")).json()["items"]
    assert [item["lead_id"] for item in shown] == ([lead] if is_stuck else [])


async def test_repair_states_the_lead_and_changes_nothing_of_it(intake: Intake, staff: httpx.AsyncClient) -> None:
    ada = await new_attorney(staff, intake)
    ownerless = await new_lead(intake)
    owned = await new_lead(intake, status="assigned", assigned_to=UUID(ada), epoch=3, decision=5)
    for lead in (ownerless, owned):
        await age(intake, lead)
    before = await intake.database.fetch("SELECT * FROM leads ORDER BY id")
    with capture_logs() as logs:
        assert await reconcile(intake.sessions, AFTER) == 2
    lacking = {line["lead_id"]: line["lacks"] for line in logs if line["event"] == "lead_repaired"}
    assert lacking == {ownerless: "owner", owned: "next mail attempt"}
    events = {event["lead_id"]: event for event in await said(intake)}
    assert (events[ownerless]["type"], events[ownerless]["attorney"]) == ("lead.registered.v1", None)
    assert (events[owned]["type"], events[owned]["attorney"]["id"]) == ("lead.reassigned.v1", ada)
    assert (events[owned]["epoch"], events[owned]["decision_seen"], events[owned]["outreach"]) == (3, 5, True)
    assert await intake.database.fetch("SELECT * FROM leads ORDER BY id") == before


async def test_repair_lets_a_returning_prospect_keep_the_attorney(intake: Intake, staff: httpx.AsyncClient) -> None:
    ada = await new_attorney(staff, intake)
    await new_lead(intake, status="retained", assigned_to=UUID(ada))
    lead = await new_lead(intake)
    await intake.database.execute("UPDATE leads SET email_key = 'same@example.com'")
    await age(intake, lead)
    assert await repair_lead(intake.sessions, UUID(lead), AFTER)
    assert [event["keep_attorney_id"] for event in await said(intake)] == [ada]


@pytest.mark.parametrize(
    ("minutes_told", "minutes_reached", "is_stuck"),
    [(60, 20, True), (60, 10, False), (60, 50, False), (60, 70, False)],
    ids=["back long ago", "back just now", "a mail of the time before", "nobody since"],
)
async def test_a_mail_that_waits_for_the_relay_is_stuck_once_others_have_gone_out_long_since(
    intake: Intake, staff: httpx.AsyncClient, minutes_told: int, minutes_reached: int, is_stuck: bool
) -> None:
    ada = UUID(await new_attorney(staff, intake))
    waits = await new_lead(intake, status="assigned", assigned_to=ada, outreach_reason="relay_away")
    other = await new_lead(intake, status="reached_out", assigned_to=ada)
    await age(intake, waits, minutes_told)
    await intake.database.execute(
        "UPDATE leads SET reached_at = now() - make_interval(mins => $1) WHERE id = $2", minutes_reached, UUID(other)
    )
    assert await stuck_ids(intake) == ({waits} if is_stuck else set())


async def test_a_wish_shortens_the_wait_between_repairs_to_a_quarter_of_an_hour_and_no_further(intake: Intake) -> None:
    lead = await new_lead(intake)
    await age(intake, lead)
    assert await repair_lead(intake.sessions, UUID(lead), AFTER)
    await intake.database.execute("DELETE FROM outbox")
    await intake.database.execute("UPDATE repairs SET next_at = now() + interval '6 hours'")
    assert not await repair_lead(intake.sessions, UUID(lead), AFTER, forced=True)
    await intake.database.execute("UPDATE repairs SET last_at = now() - interval '15 minutes'")
    assert not await repair_lead(intake.sessions, UUID(lead), AFTER)
    assert await repair_lead(intake.sessions, UUID(lead), AFTER, forced=True)


async def test_a_person_has_the_end_of_a_closed_lead_said_again(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead = await new_lead(intake, status="declined", epoch=2, decision=4)
    await age(intake, lead)
    assert await reconcile(intake.sessions, AFTER) == 0
    assert (await staff.post(f"/api/v1/stuck-leads/{lead}/repair")).json() == {"repaired": True}
    [event] = await said(intake)
    assert (event["type"], event["epoch"], event["decision_seen"]) == ("lead.closed.v1", 2, 4)
    assert await intake.database.fetchval("SELECT status FROM leads") == "declined"


async def test_a_lead_that_cannot_be_repaired_holds_up_no_other(intake: Intake) -> None:
    locked, free = await new_lead(intake), await new_lead(intake)
    await age(intake, locked, 20)
    await age(intake, free)
    async with intake.sessions.begin() as holder:
        await holder.execute(text("SELECT * FROM leads WHERE id = :id FOR UPDATE"), {"id": locked})
        engine = make_engine(
            DatabaseGroup(database_url=intake.settings.database_url, database_statement_timeout=1), "test"
        )
        assert await reconcile(make_sessions(engine), AFTER) == 1
        await engine.dispose()
    assert [event["lead_id"] for event in await said(intake)] == [free]


async def test_repair_waits_longer_each_time_up_to_six_hours(intake: Intake) -> None:
    lead = await new_lead(intake)
    waits = []
    for _ in range(7):
        await age(intake, lead)
        assert await repair_lead(intake.sessions, UUID(lead), AFTER)
        await intake.database.execute("DELETE FROM outbox")
        assert not await repair_lead(intake.sessions, UUID(lead), AFTER)
        waits.append(
            await intake.database.fetchval("SELECT round(extract(epoch FROM next_at - now()) / 60) FROM repairs")
        )
        await intake.database.execute("UPDATE repairs SET next_at = now()")
    assert [int(wait) for wait in waits] == [15, 30, 60, 120, 240, 360, 360]


async def test_repair_is_held_back_by_an_unsent_event_and_by_a_dead_letter(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    unsent, dead, free = await new_lead(intake), await new_lead(intake), await new_lead(intake)
    await bury(intake, lead_id=UUID(dead))
    await intake.database.execute(
        "INSERT INTO outbox (event_id, type, exchange, routing_key, correlation_id, headers, body, lead_id) "
        "VALUES ('e', 't', '', 'q', 'c', '{}', '', $1)",
        UUID(unsent),
    )
    for lead in (unsent, dead):
        await age(intake, lead)
        assert not await repair_lead(intake.sessions, UUID(lead), AFTER, forced=True)
    async with intake.sessions() as session:
        held = {str(one.lead_id): one.held_back_by for one in await find_stuck(session, AFTER)}
    assert held == {unsent: "an unsent event", dead: "an open dead letter"}
    for lead, why in {**held, free: None}.items():
        assert (await staff.get(f"/api/v1/stuck-leads/{lead}")).json()["held_back_by"] == why


async def test_too_many_wait_for_an_operator(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNATTENDED_LIMIT", 1)
    for _ in range(2):
        await age(intake, await new_lead(intake))
    assert await reconcile(intake.sessions, AFTER) == 0
    assert module.STUCK._value.get() == 2
    assert await said(intake) == []


async def test_an_operator_repairs_one_at_once(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead = await new_lead(intake)
    assert (await staff.post(f"/api/v1/stuck-leads/{lead}/repair")).json() == {"repaired": False}
    await age(intake, lead)
    assert (await staff.post(f"/api/v1/stuck-leads/{lead}/repair")).json() == {"repaired": True}
    assert (await staff.post(f"/api/v1/stuck-leads/{uuid4()}/repair")).status_code == 404


async def test_a_rebuild_says_every_attorney_and_every_open_lead(
    intake: Intake, staff: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REBUILD_BATCH", 2)
    ada = await new_attorney(staff, intake)
    for _ in range(3):
        await new_lead(intake, status="assigned", assigned_to=UUID(ada))
    await new_lead(intake, status="declined")
    first = (await staff.post("/api/v1/operations/rebuild-assignment")).json()
    assert (first["attorneys"], first["leads"]) == (1, 2)
    rest = await staff.post("/api/v1/operations/rebuild-assignment", params={"after": first["next_after"]})
    assert rest.json() == {"attorneys": 0, "leads": 1, "next_after": None}
    assert sorted(event["type"] for event in await said(intake)) == ["attorney.changed.v1"] + ["lead.reassigned.v1"] * 3
