"""The broker or the mail relay is away for a while: leads are taken in all the same, and end as if nothing was."""

import httpx
from e2e.checker import Scenario
from e2e.clients import submit, submit_all
from e2e.documents import small_pdf
from e2e.eventually import eventually
from e2e.stack import Stack


async def test_leads_are_taken_in_while_the_broker_is_away(
    stack: Stack, scenario: Scenario, public: httpx.AsyncClient, staff: httpx.AsyncClient
) -> None:
    await stack.control("stop", "rabbitmq")
    try:
        await submit_all(stack, scenario.log, scenario.crowd.people(10), clients=5)
        assert set(scenario.log.statuses()) == {"201"}
        health = await public.get("/api/v1/healthcheck")
        assert (health.status_code, health.json()["status"]) == (200, "ok")
        page = (await staff.get("/api/v1/leads?limit=10")).json()["items"]
        assert {lead["id"] for lead in page} == set(scenario.log.accepted().values())
        assert {lead["status"] for lead in page} == {"registered"}
    finally:
        await stack.control("start", "rabbitmq")

    report = await scenario.verify()
    assert report.figures["mails"] == 10


async def test_a_mail_waits_while_the_relay_is_away_and_staff_see_it(
    stack: Stack, scenario: Scenario, public: httpx.AsyncClient, staff: httpx.AsyncClient
) -> None:
    await stack.control("stop", "mail")
    try:
        response = await submit(public, scenario.log, scenario.crowd.person(), small_pdf())
        assert response.status_code == 201, response.text
        path = f"/api/v1/leads/{response.json()['id']}"

        async def told() -> list[str]:
            return [entry["type"] for entry in (await staff.get(f"{path}/timeline")).json()["items"]]

        await eventually(told, lambda types: "outreach.deferred" in types, what="the timeline says deferred")
        lead = (await staff.get(path)).json()
        assert (lead["status"], lead["reached_out_by"]) == ("assigned", None)
        assert lead["assigned_to"] is not None
    finally:
        await stack.control("start", "mail")

    report = await scenario.verify()
    assert report.figures["mails"] == 1
    timeline = (await staff.get(f"{path}/timeline")).json()["items"]
    assert timeline[-1]["type"] == "lead.reached-out"
    assert "outreach.failed" not in [entry["type"] for entry in timeline]
