"""ETags and If-Match; illegal moves name the legal ones; of two at once, one wins."""

import asyncio
from uuid import UUID, uuid4

import httpx
import pytest

from .conftest import Intake
from .test_change_lead import LEADS, new_attorney, new_lead, said


async def etag(staff: httpx.AsyncClient, lead: str) -> str:
    return str((await staff.get(f"{LEADS}/{lead}")).headers["etag"])


async def test_s44_a_stale_etag_is_412_and_changes_nothing(intake: Intake, staff: httpx.AsyncClient) -> None:
    ada = await new_attorney(staff, intake)
    lead = await new_lead(intake)
    seen = await etag(staff, lead)
    first = await staff.patch(f"{LEADS}/{lead}", json={"assigned_to": ada}, headers={"If-Match": seen})
    assert (first.status_code, first.headers["etag"]) == (200, await etag(staff, lead))
    before = await said(intake)
    second = await staff.patch(f"{LEADS}/{lead}", json={"status": "declined"}, headers={"If-Match": seen})
    assert (second.status_code, second.json()["type"]) == (412, "urn:problem:stale-etag")
    assert second.headers["etag"] == first.headers["etag"]
    assert await said(intake) == before


@pytest.mark.parametrize(
    ("if_match", "status"), [("{}", 200), ('"other", {}', 200), ("*", 200), ("W/{}", 412), ('"other"', 412), ("", 412)]
)
async def test_if_match_is_read_as_the_standard_says(
    intake: Intake, staff: httpx.AsyncClient, if_match: str, status: int
) -> None:
    lead = await new_lead(intake)
    headers = {"If-Match": if_match.format(await etag(staff, lead))}
    assert (await staff.patch(f"{LEADS}/{lead}", json={"status": "declined"}, headers=headers)).status_code == status


async def test_s44_of_two_changes_of_one_state_one_wins(intake: Intake, staff: httpx.AsyncClient) -> None:
    ada, ben = await new_attorney(staff, intake), await new_attorney(staff, intake)
    lead = await new_lead(intake)
    headers = {"If-Match": await etag(staff, lead)}
    answers = await asyncio.gather(
        *(staff.patch(f"{LEADS}/{lead}", json={"assigned_to": one}, headers=headers) for one in (ada, ben, ada, ben))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]
    assert len(await said(intake)) == 1


async def test_s44_of_two_moves_without_if_match_the_illegal_one_is_409(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    ada = await new_attorney(staff, intake)
    lead = await new_lead(intake, status="reached_out", assigned_to=UUID(ada))
    answers = await asyncio.gather(
        *(staff.patch(f"{LEADS}/{lead}", json={"status": to}) for to in ("retained", "declined"))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    [refused] = [answer.json() for answer in answers if answer.status_code == 409]
    assert refused["legal_statuses"] == ["reached_out"] or refused["legal_statuses"] == ["assigned"]


async def test_an_unknown_lead_is_404_before_its_etag(staff: httpx.AsyncClient) -> None:
    headers = {"If-Match": '"x"'}
    answer = await staff.patch(f"{LEADS}/{uuid4()}", json={"status": "declined"}, headers=headers)
    assert answer.status_code == 404
