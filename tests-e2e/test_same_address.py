"""The same address many times at once: one lead, one mail, every submission kept."""

import asyncio

import httpx
from e2e import evidence
from e2e.checker import Scenario
from e2e.clients import Person, http_client, submit
from e2e.documents import small_pdf
from e2e.stack import Stack

TIMES = 20


async def test_the_same_address_twenty_times_at_once(
    stack: Stack, scenario: Scenario, staff: httpx.AsyncClient
) -> None:
    person = scenario.crowd.person()

    async def post(number: int) -> httpx.Response:
        address = person.email if number % 2 else person.email.title()
        async with http_client(stack) as client:
            return await submit(client, scenario.log, Person(*_names(number), address), small_pdf(f"Number {number}."))

    answers = await asyncio.gather(*(post(number) for number in range(TIMES)))

    assert [answer.status_code for answer in answers] == [201] * TIMES
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert set(scenario.log.statuses()) == {"201"}, "nobody was told to try again, and nobody met an error"
    report = await scenario.verify()
    assert (report.figures["submissions"], report.figures["leads"], report.figures["mails"]) == (TIMES, 1, 1)

    lead = (await staff.get(f"/api/v1/leads/{answers[0].json()['id']}")).json()
    assert len(lead["submissions"]) == TIMES
    stored = await evidence.fetch_value(
        stack, "intake", "SELECT count(DISTINCT resume_sha256) FROM submissions WHERE lead_id = $1::uuid", lead["id"]
    )
    assert stored == TIMES, "each submission keeps the resume that came with it"


def _names(number: int) -> tuple[str, str]:
    return f"Same{number}", "Address"
