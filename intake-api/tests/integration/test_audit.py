"""S50: who did what is on record before the answer leaves, nobody can take it back, and a change of it is seen."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from intake_api.audit import network_of
from intake_api.use_cases.verify_audit import verify_audit
from service_chassis.database import plain_url

from ..documents import lead_json
from .conftest import ADMIN, Intake
from .test_change_lead import new_lead

LEADS = "/api/v1/leads"


async def acts(intake: Intake) -> list[tuple[str, int, str | None]]:
    rows = await intake.database.fetch("SELECT action, result, lead_id FROM audit ORDER BY seq")
    return [(row["action"], row["result"], str(row["lead_id"]) if row["lead_id"] else None) for row in rows]


async def test_s50_logins_views_downloads_and_changes_are_on_record(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead = await new_lead(intake)
    for suffix in ("", "/resume", "/timeline"):
        assert (await staff.get(f"{LEADS}/{lead}{suffix}")).status_code == 200
    assert (await staff.get(LEADS)).status_code == 200
    assert (await staff.patch(f"{LEADS}/{lead}", json={"status": "declined"})).status_code == 200
    assert (await staff.patch(f"{LEADS}/{lead}", json={"status": "assigned"})).status_code == 409
    absent = str(uuid4())
    assert (await staff.get(f"{LEADS}/{absent}")).status_code == 404
    assert await acts(intake) == [
        ("post_token", 200, None),
        ("get_lead", 200, lead),
        ("get_resume", 200, lead),
        ("get_timeline", 200, lead),
        ("get_leads", 200, None),
        ("change_lead", 200, lead),
        ("patch_lead", 409, lead),
        ("get_lead", 404, absent),
    ]
    account = await intake.database.fetchval("SELECT id FROM accounts")
    assert {row["actor"] for row in await intake.database.fetch("SELECT actor FROM audit")} == {f"account:{account}"}
    detail = (await staff.get("/api/v1/audit", params={"action": "change_lead"})).json()["items"][0]["detail"]
    assert (detail["from"], detail["to"]) == ("registered", "declined")


async def test_s50_a_failed_login_is_on_record_without_what_was_typed(intake: Intake, staff: httpx.AsyncClient) -> None:
    for name in (ADMIN[0], "stranger@example.com"):
        await staff.post("/api/v1/auth/token", data={"username": name, "password": "a wrong one"})
    rows = await intake.database.fetch("SELECT actor, result FROM audit WHERE result = 401 ORDER BY seq")
    account = await intake.database.fetchval("SELECT id FROM accounts")
    assert [(row["actor"], row["result"]) for row in rows] == [(f"account:{account}", 401), ("unknown", 401)]
    everything = str([dict(row) for row in await intake.database.fetch("SELECT * FROM audit")])
    assert [word for word in (ADMIN[0], "stranger", "a wrong one") if word in everything] == []


async def test_the_public_leaves_no_row(intake: Intake) -> None:
    await intake.client.post(LEADS, json=lead_json())
    await intake.client.get(LEADS)
    await intake.client.get("/api/v1/healthcheck")
    assert await acts(intake) == []


async def test_s50_the_application_can_neither_change_nor_remove_a_row(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    await staff.get(LEADS)
    application = await asyncpg.connect(plain_url(intake.settings.database_url.get_secret_value()))
    try:
        for statement in ("UPDATE audit SET actor = 'x'", "DELETE FROM audit", "TRUNCATE audit", "DROP TABLE audit"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await application.execute(statement)
    finally:
        await application.close()
    assert len(await acts(intake)) == 2


@pytest.mark.parametrize(
    ("tampering", "broken", "problem"),
    [
        ("UPDATE audit SET actor = 'somebody else' WHERE seq = 3", 3, "it was changed after it was written"),
        ("UPDATE audit SET detail = '{\"x\": 1}' WHERE seq = 2", 2, "it was changed after it was written"),
        ("DELETE FROM audit WHERE seq = 3", 4, "row 3 is missing before it"),
        ("UPDATE audit SET previous_hash = 'x' WHERE seq = 4", 4, "it does not follow the row before it"),
    ],
)
async def test_s50_tampering_is_named_by_its_first_row(
    intake: Intake, staff: httpx.AsyncClient, tampering: str, broken: int, problem: str
) -> None:
    for _ in range(4):
        await staff.get(LEADS)
    whole = (await staff.get("/api/v1/audit/verification")).json()
    assert (whole["rows"], whole["broken_seq"], len(whole["last_hash"])) == (5, None, 64)
    await intake.database.execute(tampering)
    found = (await staff.get("/api/v1/audit/verification")).json()
    assert (found["broken_seq"], found["problem"]) == (broken, problem)


async def test_many_at_once_make_one_chain(intake: Intake, staff: httpx.AsyncClient) -> None:
    await asyncio.gather(*(staff.get(LEADS) for _ in range(20)))
    verified = await verify_audit(intake.sessions)
    assert (verified.rows, verified.broken_seq) == (21, None)


async def test_s50_an_answer_that_cannot_be_recorded_is_withheld(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead = await new_lead(intake)
    await intake.database.execute("ALTER TABLE audit ADD CONSTRAINT full_disk CHECK (seq < 2)")
    answer = await staff.get(f"{LEADS}/{lead}/resume")
    assert answer.status_code == 500
    assert b"%PDF" not in answer.content
    refused = await staff.patch(f"{LEADS}/{lead}", json={"status": "declined"})
    assert refused.status_code == 500
    assert await intake.database.fetchval("SELECT status FROM leads WHERE id = $1", UUID(lead)) == "registered"


async def test_the_list_is_filtered_and_paged(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead = await new_lead(intake)
    for _ in range(3):
        await staff.get(f"{LEADS}/{lead}")
    first: dict[str, Any] = (await staff.get("/api/v1/audit", params={"lead_id": lead, "limit": 2})).json()
    rest = (await staff.get("/api/v1/audit", params={"lead_id": lead, "before": first["next_before"]})).json()
    assert [item["seq"] for item in first["items"] + rest["items"]] == [4, 3, 2]
    assert rest["next_before"] is None


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("testclient", "unknown"),
        (None, "unknown"),
    ],
)
def test_an_origin_is_a_network(address: str | None, network: str) -> None:
    assert network_of(address) == network
