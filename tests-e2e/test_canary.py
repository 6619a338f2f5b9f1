"""I15, S51: after a journey with everything that goes wrong, no log and no metric names anybody, nor a secret."""

import json
import uuid

import aio_pika
import httpx
from e2e import evidence, leaks
from e2e.checker import Scenario
from e2e.clients import Person, json_body, log_in, post_lead
from e2e.documents import small_pdf
from e2e.eventually import eventually
from e2e.stack import Stack

LEADS = "/api/v1/leads"
EVENTS = {
    "assignment.leads": "lead.registered.v1",
    "mailer.outreach": "lead.assigned.v1",
    "intake.lead-status": "lead.assigned.v1",
    "intake.dead-letters": "message.dead-lettered.v1",
}


async def publish_what_cannot_be_handled(stack: Stack, canary: str) -> int:
    """Bodies that break off, of unknown types, with wrong fields, of a lead that nobody knows. How many there were."""
    unknown = {
        "lead_id": str(uuid.uuid4()),
        "epoch": 0,
        "decision": 1,
        "outreach": True,
        "first_name": canary,
        "last_name": canary,
        "email": f"{canary}@example.com",
        "attorney": {"id": str(uuid.uuid4()), "name": canary, "email": f"{canary}@firm.example.com"},
        "explanation": {"rule": "x", "chosen_by": "policy"},
        "assigned_at": "2030-01-01T00:00:00Z",
    }
    messages = [("intake.lead-status", "lead.assigned.v1", json.dumps(unknown).encode())]
    for queue, type_ in EVENTS.items():
        messages.append((queue, type_, f'{{"email": "{canary}@example.com", '.encode()))
        messages.append((queue, type_, json.dumps({"lead_id": canary, "epoch": canary, "email": canary}).encode()))
        messages.append((queue, f"{canary}.v1", b"{}"))
    connection = await aio_pika.connect(stack.run["amqp_url"])
    async with connection:
        channel = await connection.channel()
        for queue, type_, body in messages:
            message = aio_pika.Message(body, message_id=str(uuid.uuid4()), type=type_)
            await channel.default_exchange.publish(message, routing_key=queue)
    return len(messages)


async def knock_with(client: httpx.AsyncClient, canary: str) -> None:
    """Every kind of refused request, with the canary wherever a stranger can put it."""
    person = Person(canary, canary, f"{canary}@example.com")
    document = small_pdf(canary)
    bad = [
        json_body(person, document, email=f"{canary} at nowhere"),
        json_body(person, document, first_name=f"{canary}\r\n\x1b[31mforged"),
        json_body(person, canary.encode() * 3, resume_filename=f"{canary}.exe"),
        f'{{"first_name": "{canary}'.encode(),
    ]
    for content in bad:
        answer = await client.post(LEADS, headers={"Content-Type": "application/json"}, content=content)
        assert 400 <= answer.status_code < 500, answer.text
    form = {"first_name": canary, "last_name": canary, "email": canary}
    assert (await client.post(LEADS, data=form, files={"resume": (f"{canary}.exe", b"MZ" + document)})).is_error
    for path in (f"/{canary}", f"{LEADS}/{canary}", f"{LEADS}?q={canary}", f"/api/v1/{canary}?{canary}={canary}"):
        assert (await client.get(path)).is_error
    assert (await client.get(LEADS, headers={"Authorization": f"Bearer {canary}"})).status_code == 401
    login = {"username": f"{canary}@example.com", "password": canary}
    assert (await client.post("/api/v1/auth/token", data=login)).status_code == 401
    headers = {"Traceparent": canary, "X-Forwarded-For": canary, "User-Agent": canary, "Idempotency-Key": canary}
    assert (await client.post(LEADS, content=canary, headers=headers)).is_error


async def test_s51_no_log_and_no_metric_names_anybody(
    stack: Stack, scenario: Scenario, public: httpx.AsyncClient, staff: httpx.AsyncClient
) -> None:
    canary = scenario.crowd.canary
    token = str(staff.headers["Authorization"]).removeprefix("Bearer ")

    await knock_with(public, canary)
    planted = await publish_what_cannot_be_handled(stack, canary)
    await stack.control("stop", "mail")
    try:
        person = scenario.crowd.person()
        key = uuid.uuid4().hex
        posted = await post_lead(public, person, small_pdf(canary), key=key)
        assert posted.status_code == 201, posted.text
        assert (await post_lead(public, person, small_pdf("another"), key=key)).status_code == 422
        lead = posted.json()["id"]
        for body in ({"status": canary}, {"assigned_to": str(uuid.uuid4())}, {canary: canary}):
            assert (await staff.patch(f"{LEADS}/{lead}", json=body)).status_code == 422
    finally:
        await stack.control("start", "mail")

    async def dead_letters() -> int:
        query = "SELECT count(*) FROM dead_letters WHERE last_at >= $1"
        return int(await evidence.fetch_value(stack, "intake", query, scenario.since))

    await eventually(dead_letters, lambda count: count == planted, within=60, what="all are given up")

    async def reached() -> str:
        return str((await staff.get(f"{LEADS}/{lead}")).json()["status"])

    await eventually(reached, lambda status: status == "reached_out", what="the lead is reached")
    async with httpx.AsyncClient(base_url=stack.api_url, trust_env=False) as other:
        second = await log_in(other, stack)

    secrets = [stack.run["admin"]["password"], token, second, stack.run["s3"]["secret_key"]]
    hits = leaks.in_logs(stack.log_folder, [canary, *secrets])
    # The development supervisor shows its user how to log in; it is no process of the product.
    assert [hit for hit in hits if not hit.startswith("supervisor.log: ")] == []
    assert await leaks.in_metrics(stack, [canary, *secrets]) == []

    for item in (await staff.get("/api/v1/dead-letters", params={"status": "open", "limit": 500})).json()["items"]:
        reason = {"reason": "made by a test"}
        assert (await staff.post(f"/api/v1/dead-letters/{item['id']}/discard", json=reason)).status_code == 200
