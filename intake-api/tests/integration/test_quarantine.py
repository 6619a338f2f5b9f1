"""Suspect submissions: kept, told to nobody, released or discarded by staff; duplicates put where they belong."""

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from ..documents import lead_json
from .conftest import Intake

LEADS = "/api/v1/leads"
SUSPECT = {"website": "https://x.example"}


async def post(intake: Intake, **changes: Any) -> dict[str, Any]:
    answer = await intake.client.post(LEADS, json=lead_json(**changes))
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def move(staff: httpx.AsyncClient, lead: dict[str, Any], status: str) -> httpx.Response:
    return await staff.patch(f"{LEADS}/{lead['id']}", json={"status": status})


async def events(intake: Intake) -> list[str]:
    return [row["type"] for row in await intake.database.fetch("SELECT type FROM outbox ORDER BY id")]


async def test_a_suspect_submission_answers_like_any_other_and_says_nothing(intake: Intake) -> None:
    ordinary = await post(intake, email="a@example.com")
    suspect = await post(intake, **SUSPECT)
    assert suspect.keys() == ordinary.keys()
    assert suspect["status"] == "registered"
    assert suspect["quarantine_reasons"] == []
    row = await intake.database.fetchrow("SELECT * FROM leads WHERE email = 'john.doe@example.com'")
    assert (row["status"], json.loads(row["quarantine_reasons"])) == ("quarantined", ["honeypot"])
    assert await events(intake) == ["lead.registered.v1"]


async def test_a_quarantined_lead_never_absorbs_a_later_submission(intake: Intake) -> None:
    suspect = await post(intake, **SUSPECT)
    assert (await post(intake))["id"] != suspect["id"]
    assert await intake.database.fetchval("SELECT count(*) FROM leads WHERE status = 'registered'") == 1


async def test_a_suspect_submission_does_not_join_an_open_lead(intake: Intake) -> None:
    ordinary = await post(intake)
    assert (await post(intake, **SUSPECT))["id"] != ordinary["id"]


async def test_a_release_registers_the_lead_and_says_so_once(intake: Intake, staff: httpx.AsyncClient) -> None:
    suspect = await post(intake, **SUSPECT, practice_area="employment", language="EN")
    released = await move(staff, suspect, "registered")
    assert (released.status_code, released.json()["status"]) == (200, "registered")
    (body,) = [json.loads(row["body"]) for row in await intake.database.fetch("SELECT body FROM outbox")]
    assert (body["outreach"], body["epoch"], body["practice_area"], body["language"]) == (True, 0, "employment", "en")
    await intake.database.execute("UPDATE leads SET status = 'outreach_failed'")
    again = await move(staff, suspect, "registered")
    assert (again.status_code, again.json()["status"]) == (200, "outreach_failed")
    assert await events(intake) == ["lead.registered.v1"]


async def test_two_releases_at_once_have_one_effect(intake: Intake, staff: httpx.AsyncClient) -> None:
    suspect = await post(intake, **SUSPECT)
    answers = await asyncio.gather(*(move(staff, suspect, "registered") for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert await events(intake) == ["lead.registered.v1"]


async def test_a_release_merges_when_the_address_has_another_open_lead(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    suspect, ordinary = await post(intake, **SUSPECT), await post(intake)
    released = (await move(staff, suspect, "registered")).json()
    assert (released["status"], released["merged_into"]) == ("discarded", ordinary["id"])
    shown = (await staff.get(f"{LEADS}/{ordinary['id']}")).json()
    assert len(shown["submissions"]) == 2
    assert await events(intake) == ["lead.registered.v1"]
    assert (await move(staff, suspect, "registered")).json()["status"] == "discarded"
    gone = await staff.get(f"{LEADS}/{suspect['id']}/resume")
    assert (gone.status_code, gone.json()["type"]) == (404, "urn:problem:resume-missing")


async def test_a_discarded_lead_is_final_and_nobody_heard_of_it(intake: Intake, staff: httpx.AsyncClient) -> None:
    suspect = await post(intake, **SUSPECT)
    assert (await move(staff, suspect, "discarded")).json()["status"] == "discarded"
    assert (await move(staff, suspect, "registered")).status_code == 409
    assert await events(intake) == []


@pytest.mark.parametrize("status", ["assigned", "reached_out", "declined"])
async def test_a_quarantined_lead_takes_no_other_move(intake: Intake, staff: httpx.AsyncClient, status: str) -> None:
    answer = await move(staff, await post(intake, **SUSPECT), status)
    assert answer.status_code == 409
    assert answer.json()["legal_statuses"] == ["registered", "discarded"]


async def test_staff_unlink_a_submission_into_a_lead_of_its_own(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead = await post(intake)
    await post(intake, first_name="Joan")
    first, second = (await staff.get(f"{LEADS}/{lead['id']}")).json()["submissions"]
    kept = await staff.post(f"{LEADS}/{lead['id']}/submissions/{first['id']}/unlink")
    assert (kept.status_code, kept.json()["type"]) == (409, "urn:problem:submission-not-movable")
    unlinked = await staff.post(f"{LEADS}/{lead['id']}/submissions/{second['id']}/unlink")
    assert (unlinked.status_code, unlinked.json()["first_name"]) == (201, "Joan")
    assert await events(intake) == ["lead.registered.v1"] * 2
    assert len((await staff.get(unlinked.headers["location"])).json()["submissions"]) == 1
    unknown = await staff.post(f"{LEADS}/{lead['id']}/submissions/{uuid4()}/unlink")
    assert unknown.status_code == 404


@pytest.mark.parametrize("status", ["registered", "outreach_failed"])
async def test_staff_merge_two_open_leads(intake: Intake, staff: httpx.AsyncClient, status: str) -> None:
    one, other = await post(intake), await post(intake, email="john@example.com")
    await intake.database.execute("UPDATE leads SET status = $1 WHERE id = $2", status, UUID(one["id"]))
    for _ in range(2):
        merged = await staff.post(f"{LEADS}/{one['id']}/merge", json={"into": other["id"]})
        assert (merged.status_code, merged.json()["id"]) == (200, other["id"])
    assert (await events(intake))[2:] == ["lead.closed.v1", "outreach.cancelled.v1"]
    source = (await staff.get(f"{LEADS}/{one['id']}")).json()
    assert (source["status"], source["merged_into"], source["submissions"]) == ("discarded", other["id"], [])
    assert len((await staff.get(f"{LEADS}/{other['id']}")).json()["submissions"]) == 2


async def test_merging_both_ways_at_once_ends(intake: Intake, staff: httpx.AsyncClient) -> None:
    one, other = await post(intake), await post(intake, email="john@example.com")
    answers = await asyncio.gather(
        staff.post(f"{LEADS}/{one['id']}/merge", json={"into": other["id"]}),
        staff.post(f"{LEADS}/{other['id']}/merge", json={"into": one["id"]}),
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]


async def are_waiting(intake: Intake, count: int) -> None:
    """Return when so many transactions wait for a lock."""
    async with asyncio.timeout(10):
        while await intake.database.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") != count:  # noqa: ASYNC110 - a database wakes nobody
            await asyncio.sleep(0.02)


async def test_a_merge_and_a_release_of_one_address_wait_for_each_other_only_once(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    """Both need both rows, in different orders: what keeps them apart is that both take the address first."""
    for number in range(40):
        suspect = await post(intake, **SUSPECT, email=f"jo{number}@example.com")
        ordinary = await post(intake, email=f"jo{number}@example.com")
        if ordinary["id"] < suspect["id"]:  # a merge locks rows in the order of ids, a release its own lead first
            break
    async with intake.database.transaction():
        await intake.database.execute("SELECT FROM leads WHERE id = $1 FOR UPDATE", UUID(suspect["id"]))
        release = asyncio.create_task(move(staff, suspect, "registered"))
        await are_waiting(intake, 1)
        merge = asyncio.create_task(staff.post(f"{LEADS}/{suspect['id']}/merge", json={"into": ordinary["id"]}))
        await are_waiting(intake, 2)
    released, merged = await asyncio.gather(release, merge)
    assert (released.status_code, merged.status_code) == (200, 200), (released.text, merged.text)
    assert (released.json()["merged_into"], merged.json()["id"]) == (ordinary["id"], ordinary["id"])


@pytest.mark.parametrize("is_reversed", [False, True])
async def test_a_merge_takes_addresses_in_one_order_whichever_way_it_goes(
    intake: Intake, staff: httpx.AsyncClient, is_reversed: bool
) -> None:
    leads = [await post(intake, email="a@example.com"), await post(intake, email="b@example.com")]
    one, other = reversed(leads) if is_reversed else leads
    lock = "pg_advisory_xact_lock(hashtextextended('address:' || $1, 0))"
    async with intake.database.transaction():
        await intake.database.execute(f"SELECT {lock}", "b@example.com")
        merge = asyncio.create_task(staff.post(f"{LEADS}/{one['id']}/merge", json={"into": other["id"]}))
        await are_waiting(intake, 1)
        is_free = await intake.database.fetchval(f"SELECT {lock.replace('pg_', 'pg_try_', 1)}", "a@example.com")
        assert is_free is False, "it waits for the second with the first in hand"
    assert (await merge).status_code == 200


@pytest.mark.parametrize("into", ["itself", "nothing"])
async def test_a_merge_with_no_other_lead_is_422(intake: Intake, staff: httpx.AsyncClient, into: str) -> None:
    lead = await post(intake)
    target = lead["id"] if into == "itself" else str(uuid4())
    answer = await staff.post(f"{LEADS}/{lead['id']}/merge", json={"into": target})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "into")
