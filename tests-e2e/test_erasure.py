"""F50, S62: erase a lead wherever its mail is; afterwards nothing of the person is found anywhere."""

import os
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import httpx
import pytest
from e2e import evidence, search
from e2e.checker import Scenario
from e2e.clients import Person, post_lead
from e2e.documents import small_pdf
from e2e.eventually import eventually
from e2e.mailboxes import Mailboxes
from e2e.operator import leadctl
from e2e.stack import Stack


async def posted(public: httpx.AsyncClient, person: Person) -> str:
    response = await post_lead(public, person, small_pdf(f"Resume of {person.email}"), key=uuid.uuid4().hex)
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


async def delivery_is(stack: Stack, lead: str, *states: str) -> None:
    async def state() -> str | None:
        query = "SELECT state FROM deliveries WHERE lead_id = $1"
        found: str | None = await evidence.fetch_value(stack, "mailer", query, uuid.UUID(lead))
        return found

    await eventually(state, lambda seen: seen in states, every=0.02, what=f"the delivery is {states}")


async def lead_is(staff: httpx.AsyncClient, lead: str, status: str) -> None:
    async def seen() -> str:
        return str((await staff.get(f"/api/v1/leads/{lead}")).json()["status"])

    await eventually(seen, lambda one: one == status, what=status)


async def complete_receipt(staff: httpx.AsyncClient, lead: str) -> dict[str, Any]:
    async def receipt() -> dict[str, Any]:
        found: dict[str, Any] = (await staff.get(f"/api/v1/erasures/{lead}")).json()
        return found

    return await eventually(receipt, lambda seen: seen["status"] == "complete", what="the receipt is complete")


async def publish(stack: Stack, queue: str, body: bytes, type_: str) -> None:
    connection = await aio_pika.connect(stack.run["amqp_url"])
    async with connection:
        channel = await connection.channel()
        message = aio_pika.Message(body, message_id=str(uuid.uuid4()), type=type_)
        await channel.default_exchange.publish(message, routing_key=queue)


@asynccontextmanager
async def frozen_mail_server(stack: Stack) -> AsyncIterator[None]:
    """It takes connections (the system does) and says nothing."""
    pids = stack.pids("mail")
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def nothing_is_left(stack: Stack, person: Person, scenario: Scenario) -> None:
    await eventually(lambda: evidence.undrained(stack), lambda left: not left, what="queues and outboxes are drained")
    assert await search.everywhere(stack, [person.email, scenario.crowd.canary]) == []


async def test_f50_a_lead_that_was_reached_leaves_only_tombstones(
    stack: Stack, scenario: Scenario, public: httpx.AsyncClient, staff: httpx.AsyncClient
) -> None:
    person = scenario.crowd.person()
    lead = await posted(public, person)
    await lead_is(staff, lead, "reached_out")
    assert (await posted(public, person)) == lead, "a second submission joins"
    # Given-up messages of the lead: one that says whose it is, one with nothing but the address, not even JSON.
    for body in (f'{{"lead_id": "{lead}", "email": "{person.email}"', f"{person.email.upper()} \xff"):
        await publish(stack, "mailer.outreach", body.encode("latin-1"), "lead.assigned.v1")

    async def dead_letters() -> int:
        query = "SELECT count(*) FROM dead_letters WHERE last_at >= $1"
        return int(await evidence.fetch_value(stack, "intake", query, scenario.since))

    await eventually(dead_letters, lambda count: count == 2, what="both are on record")
    assert await search.everywhere(stack, [person.email]), "the search finds what is there"
    untouched = await posted(public, Person("Other", "Person", f"other.{uuid.uuid4().hex}@example.com"))

    first = await staff.delete(f"/api/v1/leads/{lead}")
    again = await staff.delete(f"/api/v1/leads/{lead}")

    assert (first.status_code, again.status_code) == (202, 202)
    receipt = await complete_receipt(staff, lead)
    assert sorted(receipt["services"]) == ["assignment-worker", "intake-api", "mailer-worker"]
    counts = {name: answer["counts"] for name, answer in receipt["services"].items()}
    assert (counts["intake-api"]["submissions"], counts["intake-api"]["dead_letters"]) == (2, 2)
    assert (counts["assignment-worker"]["leads"], counts["mailer-worker"]["deliveries"]) == (1, 1)
    assert (receipt["objects_deleted"], receipt["objects_left"]) == (2, 0)
    await nothing_is_left(stack, person, scenario)
    assert (await staff.get(f"/api/v1/leads/{lead}")).status_code == 404
    assert (await staff.get(f"/api/v1/leads/{untouched}")).status_code == 200
    assert (await leadctl(stack, "privacy", "receipt", lead)).code == 0
    assert (await leadctl(stack, "audit", "verify", "--json")).json["broken_seq"] is None


async def test_f50_late_and_replayed_events_do_not_bring_it_back(
    stack: Stack, scenario: Scenario, public: httpx.AsyncClient, staff: httpx.AsyncClient, mailboxes: Mailboxes
) -> None:
    person = scenario.crowd.person()
    lead = await posted(public, person)
    await lead_is(staff, lead, "reached_out")
    await staff.delete(f"/api/v1/leads/{lead}")
    await complete_receipt(staff, lead)
    late = (
        f'{{"lead_id": "{lead}", "epoch": 9, "decision_seen": 9, "first_name": "{person.first_name}",'
        f' "last_name": "x", "email": "{person.email}", "registered_at": "2030-01-01T00:00:00Z"}}'
    )
    await publish(stack, "assignment.leads", late.encode(), "lead.registered.v1")
    await nothing_is_left(stack, person, scenario)
    assert len(await mailboxes.read(person.email)) == 1


async def test_f50_a_mail_that_waits_is_never_sent(
    stack: Stack, scenario: Scenario, public: httpx.AsyncClient, staff: httpx.AsyncClient, mailboxes: Mailboxes
) -> None:
    person = scenario.crowd.person()
    await stack.control("stop", "mail")
    try:
        lead = await posted(public, person)
        await delivery_is(stack, lead, "deferred")
        assert (await staff.delete(f"/api/v1/leads/{lead}")).status_code == 202
        await complete_receipt(staff, lead)
    finally:
        await stack.control("start", "mail")
    await nothing_is_left(stack, person, scenario)
    other = Person("Later", "Person", f"later.{uuid.uuid4().hex}@example.com")
    await posted(public, other)
    await eventually(lambda: mailboxes.read(other.email), what="mail flows again")
    assert await mailboxes.read(person.email) == []


async def test_f50_a_mail_under_way_delays_the_receipt_and_is_the_last(
    stack: Stack, scenario: Scenario, public: httpx.AsyncClient, staff: httpx.AsyncClient, mailboxes: Mailboxes
) -> None:
    person = scenario.crowd.person()
    async with frozen_mail_server(stack):
        lead = await posted(public, person)
        await delivery_is(stack, lead, "sending")
        answer = await staff.delete(f"/api/v1/leads/{lead}")
        assert (answer.status_code, answer.json()["status"]) == (202, "open")
        await delivery_is(stack, lead, "erased")
        receipt = (await staff.get(f"/api/v1/erasures/{lead}")).json()
        assert "mailer-worker" in receipt["waiting_for"]
    await complete_receipt(staff, lead)
    await nothing_is_left(stack, person, scenario)
    assert len(await mailboxes.read(person.email)) <= 1


@pytest.mark.parametrize("worker", ["assignment-worker", "mailer-worker"])
async def test_a_service_that_is_away_answers_when_it_is_back(
    worker: str, stack: Stack, scenario: Scenario, public: httpx.AsyncClient, staff: httpx.AsyncClient
) -> None:
    person = scenario.crowd.person()
    lead = await posted(public, person)
    await lead_is(staff, lead, "reached_out")
    await stack.control("stop", worker)
    try:
        await staff.delete(f"/api/v1/leads/{lead}")

        async def waiting_for() -> list[str]:
            found: list[str] = (await staff.get(f"/api/v1/erasures/{lead}")).json()["waiting_for"]
            return found

        await eventually(waiting_for, lambda seen: seen == [worker], what=f"only {worker} is waited for")
    finally:
        await stack.control("start", worker)
    await complete_receipt(staff, lead)
    await nothing_is_left(stack, person, scenario)
