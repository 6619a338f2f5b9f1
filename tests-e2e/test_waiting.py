"""Nobody can take a lead: it waits with a reason that staff see, and goes on, oldest first, when somebody can."""

from typing import Any

import httpx
from e2e import roster
from e2e.checker import Scenario
from e2e.clients import submit
from e2e.documents import small_pdf
from e2e.eventually import eventually
from e2e.stack import Stack


async def test_leads_wait_with_a_reason_and_are_taken_oldest_first(
    stack: Stack, scenario: Scenario, public: httpx.AsyncClient, staff: httpx.AsyncClient
) -> None:
    async with roster.everybody_off(stack, staff) as team:
        ids = []
        for person in scenario.crowd.people(3):
            response = await submit(public, scenario.log, person, small_pdf())
            assert response.status_code == 201, response.text
            ids.append(response.json()["id"])

        async def leads() -> list[dict[str, Any]]:
            return [(await staff.get(f"/api/v1/leads/{lead_id}")).json() for lead_id in ids]

        waiting = await eventually(leads, lambda seen: all(lead["waiting_reason"] for lead in seen), what="all wait")
        assert {lead["status"] for lead in waiting} == {"registered"}
        assert all(lead["waiting_since"] for lead in waiting)
        timeline = (await staff.get(f"/api/v1/leads/{ids[0]}/timeline")).json()["items"]
        assert [entry["type"] for entry in timeline] == ["lead.registered", "lead.waiting"]
        assert timeline[1]["detail"]["reason"] == waiting[0]["waiting_reason"]
        await scenario.settle({"registered"})

        # One place after the other: whoever came first gets it.
        ada = team[0]
        for place, lead_id in enumerate(ids):
            free = (await staff.get(f"/api/v1/attorneys/{ada['id']}")).json()["open_leads"] + 1
            await roster.change(staff, ada["id"], available=True, capacity=free)

            def is_reached(seen: list[dict[str, Any]], place: int = place) -> bool:
                return bool(seen[place]["status"] == "reached_out")

            now = await eventually(leads, is_reached, what=f"lead {place} is reached")
            assert now[place]["assigned_to"] == ada["id"]
            assert now[place]["waiting_reason"] is None
            assert [lead["assigned_to"] for lead in now[place + 1 :]] == [None] * (len(ids) - place - 1), lead_id
        await scenario.verify()
