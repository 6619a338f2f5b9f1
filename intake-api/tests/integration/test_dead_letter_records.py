"""What is kept of a message that was given up: whose it is, and nothing that keeps it from being kept."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import asyncpg
import httpx
import pytest
from aio_pika.abc import AbstractExchange
from intake_api.handlers import SUBSCRIPTIONS
from intake_api.use_cases.reconcile import find_stuck, reconcile
from service_chassis.consumer import Consumer
from service_chassis.envelope import BODY_LIMIT_BYTES
from service_chassis.topology import declare
from shared_schemas.events import LeadRegistered, LeadWaiting
from shared_schemas.topology import INTAKE_LEAD_STATUS

from .conftest import Intake
from .test_change_lead import new_lead
from .test_dead_letters import DEAD, bury

STUCK_AFTER_S = 900.0


async def test_a_message_that_kills_belongs_to_its_lead_which_is_not_stated_again(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    lead, neighbour = await new_lead(intake), await new_lead(intake)
    await intake.database.execute("UPDATE leads SET updated_at = now() - interval '16 minutes'")
    body = json.dumps({"registered_by": str(uuid4()), "lead_id": lead, "merged_into": neighbour}).encode()
    letter = await bury(
        intake, queue="assignment.leads", message_type=LeadRegistered.type, lead_id=None, error_type="ProcessDied",
        body=body,
    )  # fmt: skip
    assert await reconcile(intake.sessions, STUCK_AFTER_S) == 1
    said = await intake.database.fetch("SELECT lead_id FROM outbox")
    assert [row["lead_id"] for row in said] == [UUID(neighbour)]
    async with intake.sessions() as session:
        held = {str(one.lead_id): one.held_back_by for one in await find_stuck(session, STUCK_AFTER_S)}
    assert held[lead] == "an open dead letter"
    listed = (await staff.get(DEAD, params={"lead_id": lead})).json()["items"]
    assert [item["id"] for item in listed] == [letter]


async def test_a_message_that_names_no_lead_of_ours_belongs_to_none(intake: Intake) -> None:
    await new_lead(intake)
    await bury(intake, lead_id=None, body=json.dumps({"attorney_id": str(uuid4())}).encode())
    assert await intake.database.fetchval("SELECT lead_id FROM dead_letters") is None


@pytest.fixture
async def heard(intake: Intake, amqp_vhost: str) -> AsyncIterator[AbstractExchange]:
    """The exchange that leads to intake's own queues, which are heard meanwhile as intake-worker hears them."""

    async def nothing() -> None:
        return

    consumer = Consumer(amqp_vhost, SUBSCRIPTIONS, intake.sessions, intake.settings, nothing, "test")
    async with await aio_pika.connect(amqp_vhost) as connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        await declare(channel)
        stop = asyncio.Event()
        running = asyncio.create_task(consumer.run(stop))
        yield channel.default_exchange
        stop.set()
        await asyncio.wait_for(running, 30)


async def recorded(intake: Intake, count: int) -> list[asyncpg.Record]:
    """The dead letters, once there are so many."""
    async with asyncio.timeout(20):
        while await intake.rows("dead_letters") < count:  # noqa: ASYNC110 - a database wakes nobody
            await asyncio.sleep(0.02)
    rows: list[asyncpg.Record] = await intake.database.fetch("SELECT * FROM dead_letters ORDER BY body")
    return rows


POISON: tuple[tuple[str, dict[str, Any]], ...] = (
    ("unknown_type", {"type": "nul\x00", "headers": {"nul\x00": "nul\x00", "table": {"a": ["nul\x00"]}}}),
    ("unknown_type", {"type": f"{LeadWaiting.type}\x00"}),
    ("missing_message_id", {"message_id": "nul\x00"}),
    ("invalid_body", {"correlation_id": "nul\x00", "headers": {"traceparent": "nul\x00"}}),
)


async def test_poison_on_our_own_queues_is_kept_whatever_its_properties_hold(
    intake: Intake, heard: AbstractExchange
) -> None:
    for number, (_, properties) in enumerate(POISON):
        known = {"message_id": str(uuid4()), "type": LeadWaiting.type}
        message = aio_pika.Message(b"\x00\xff%d" % number, **{**known, **properties})
        await heard.publish(message, INTAKE_LEAD_STATUS.name, mandatory=True)
    rows = await recorded(intake, len(POISON))
    assert [row["error_type"] for row in rows] == [f"Poison:{reason}" for reason, _ in POISON]
    assert [row["message_type"] for row in rows[:2]] == ["nul\\x00", f"{LeadWaiting.type}\\x00"]
    headers = json.loads(rows[0]["headers"])
    assert headers["nul\\x00"] == "nul\\x00"
    assert [row["status"] for row in rows] == ["open"] * len(POISON)
    assert await intake.rows("failures") == 0


async def test_long_messages_without_an_id_are_told_apart_beyond_what_is_kept_of_them(
    intake: Intake, heard: AbstractExchange
) -> None:
    start = b"x" * BODY_LIMIT_BYTES
    for end in (b"one", b"other", b"one"):
        message = aio_pika.Message(start + end, message_id="nul\x00", type=LeadWaiting.type)
        await heard.publish(message, INTAKE_LEAD_STATUS.name, mandatory=True)
    rows = await recorded(intake, 2)
    async with asyncio.timeout(20):
        while await intake.database.fetchval("SELECT sum(times) FROM dead_letters") < 3:  # noqa: ASYNC110 - a database wakes nobody
            await asyncio.sleep(0.02)
    assert [row["body"] for row in rows] == [start, start]
    assert await intake.rows("dead_letters") == 2, "the same body is the same message"
