"""POST /leads/bulk: each lead by itself, with its own result; a dry run changes nothing."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from .accounts import make_account
from .conftest import Intake
from .test_change_lead import LEADS, new_attorney, new_lead, said

BULK = f"{LEADS}/bulk"


async def bulk(staff: httpx.AsyncClient, action: str, *leads: str, **fields: Any) -> dict[str, Any]:
    answer = await staff.post(BULK, json={"action": action, "lead_ids": list(leads), **fields})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_each_lead_has_its_own_result(intake: Intake, staff: httpx.AsyncClient) -> None:
    ada = await new_attorney(staff, intake)
    fresh, owned = await new_lead(intake), await new_lead(intake, status="assigned", assigned_to=UUID(ada))
    closed, unknown = await new_lead(intake, status="declined"), str(uuid4())
    result = await bulk(staff, "reassign", fresh, owned, closed, unknown, assigned_to=ada)
    assert (result["changed"], result["unchanged"], result["refused"]) == (1, 1, 2)
    assert [item["outcome"] for item in result["items"]] == ["changed", "unchanged", "refused", "refused"]
    assert [item["lead_id"] for item in result["items"]] == [fresh, owned, closed, unknown]
    assert [item["status"] for item in result["items"]] == ["assigned", "assigned", None, None]
    problems = [item["problem"]["type"] for item in result["items"][2:]]
    assert problems == ["urn:problem:illegal-move", "urn:problem:lead-not-found"]
    assert [event["lead_id"] for event in await said(intake)] == [fresh]


async def test_a_dry_run_tells_the_same_and_changes_nothing(intake: Intake, staff: httpx.AsyncClient) -> None:
    leads = [await new_lead(intake), await new_lead(intake, status="declined")]
    rows = await intake.rows("timeline")
    dry = await bulk(staff, "status", *leads, status="declined", dry_run=True)
    assert (await said(intake), await intake.rows("timeline")) == ([], rows)
    assert [(await staff.get(f"{LEADS}/{one}")).json()["status"] for one in leads] == ["registered", "declined"]
    wet = await bulk(staff, "status", *leads, status="declined")
    assert (dry["items"], dry["dry_run"], wet["dry_run"]) == (wet["items"], True, False)
    assert [item["outcome"] for item in wet["items"]] == ["changed", "unchanged"]


async def test_release_opens_no_closed_lead_and_leaves_open_ones(intake: Intake, staff: httpx.AsyncClient) -> None:
    leads = [
        await new_lead(intake),
        await new_lead(intake, status="declined"),
        await new_lead(intake, status="discarded"),
    ]
    result = await bulk(staff, "release", *leads)
    assert [item["outcome"] for item in result["items"]] == ["unchanged", "refused", "refused"]
    assert await said(intake) == []


async def test_what_was_done_in_bulk_is_audited_by_lead_and_as_a_whole(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    leads = [await new_lead(intake), await new_lead(intake)]
    await bulk(staff, "status", *leads, status="declined")
    rows = await intake.database.fetch(
        "SELECT action, lead_id FROM audit WHERE action LIKE '%_leads' OR action = 'post_bulk' ORDER BY seq"
    )
    assert [(row["action"], str(row["lead_id"] or "")) for row in rows] == [
        ("change_leads", leads[0]), ("change_leads", leads[1]), ("post_bulk", "")
    ]  # fmt: skip


async def test_an_attorney_changes_their_own_leads_only(intake: Intake, staff: httpx.AsyncClient) -> None:
    ada = await new_attorney(staff, intake)
    own, other = await new_lead(intake, status="reached_out", assigned_to=UUID(ada)), await new_lead(intake)
    headers = (await make_account(intake, "attorney", attorney=ada)).headers
    body = {"action": "status", "lead_ids": [own, other], "status": "declined"}
    items = (await staff.post(BULK, json=body, headers=headers)).json()["items"]
    assert [item["outcome"] for item in items] == ["changed", "refused"]
    assert items[1]["problem"]["status"] == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"action": "reassign", "lead_ids": [str(uuid4())]}, "assigned_to"),
        ({"action": "status", "lead_ids": [str(uuid4())]}, "status"),
        ({"action": "status", "lead_ids": [str(uuid4())], "status": None}, "status"),
        ({"action": "release", "lead_ids": [str(uuid4())], "status": "declined"}, "status"),
        ({"action": "erase", "lead_ids": [str(uuid4())]}, "body"),
        ({"action": "release", "lead_ids": []}, "lead_ids"),
        ({"action": "release", "lead_ids": [str(uuid4()) for _ in range(201)]}, "lead_ids"),
        ({"action": "release", "lead_ids": [str(UUID(int=1))] * 2}, "lead_ids"),
        ({"action": "release", "lead_ids": ["x"]}, "lead_ids.0"),
        ({"action": "release", "lead_ids": [str(uuid4())], "epoch": 1}, "epoch"),
    ],
)
async def test_a_bulk_change_that_makes_no_sense_is_422(
    staff: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    answer = await staff.post(BULK, json=body)
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]
