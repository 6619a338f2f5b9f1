"""The whole process on a real broker: an event in, a mail out, an event out, an orderly stop."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import aio_pika
import httpx
import pytest
from aio_pika.abc import AbstractChannel
from service_chassis.http_server import listen
from service_chassis.topology import declare
from shared_schemas.events import LeadAssigned, LeadReachedOut
from shared_schemas.topology import EXCHANGE, INTAKE_LEAD_STATUS

from deploy.local.testing import MigratedDatabase

from ..bench import DORA, EXPLANATION
from ..scripted_relay import ScriptedRelay

CANARY = "canaryada@prospect.example"


@pytest.fixture
async def channel(amqp_vhost: str) -> AsyncIterator[AbstractChannel]:
    connection = await aio_pika.connect(amqp_vhost)
    channel = await connection.channel(on_return_raises=True)
    await declare(channel)
    yield channel
    await connection.close()


async def test_an_assigned_lead_is_mailed_and_said_and_the_process_stops_in_order(
    migrated_database: MigratedDatabase,
    amqp_vhost: str,
    channel: AbstractChannel,
    relay: ScriptedRelay,
    tmp_path: Path,
) -> None:
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "LEADS_ENVIRONMENT": "test",
        "AMQP_URL": amqp_vhost,
        "MAILER_DATABASE_URL": migrated_database("mailer_worker").app_url,
        "MAILER_SMTP_HOST": "127.0.0.1",
        "MAILER_SMTP_PORT": str(relay.port),
        "MAILER_FROM": "Intake Desk <intake@firm.example>",
        "MAILER_SUPPRESSION_SECRET": "a-secret-of-tests",
        "MAILER_PROSPECT_PAGE": "https://www.firm.example/my-inquiry",
        "LEADS_LINK_KEY": "a-key-of-tests-that-is-long-enough",
        "MAILER_OPS_PORT": str(port),
    }
    event = LeadAssigned.model_validate(
        {
            "lead_id": uuid4(),
            "epoch": 0,
            "decision": 1,
            "outreach": True,
            "first_name": "Canaryada",
            "last_name": "Canarybyron",
            "email": CANARY,
            "attorney": DORA,
            "explanation": EXPLANATION,
            "assigned_at": "2026-03-02T08:00:00Z",
        }
    )
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mailer_worker.worker", env=environment, stderr=output
        )
    try:
        await _publish(channel, event)
        said = await _next(channel)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as ops:
            ready = await ops.get("/readyz")
            described = (await ops.get(f"/internal/leads/{event.lead_id}")).json()
            metrics = (await ops.get("/metrics")).text
    finally:
        process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 20)
    assert (said.lead_id, said.attorney_id, said.ambiguous) == (event.lead_id, DORA.id, False)
    assert (ready.status_code, ready.json()["checks"]["sender"]) == (200, "ok")
    assert described["deliveries"][0]["state"] == "sent"
    assert 'mailer_mails_total{outcome="sent"} 1.0' in metrics
    assert (code, len(relay.mails_to(CANARY))) == (0, 1)
    assert "canary" not in (log.read_text() + metrics + json.dumps(described)).lower()


async def _publish(channel: AbstractChannel, event: LeadAssigned) -> None:
    exchange = await channel.get_exchange(EXCHANGE, ensure=False)
    message = aio_pika.Message(
        event.model_dump_json().encode(),
        message_id=str(uuid4()),
        type=event.type,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
    await exchange.publish(message, event.routing_key(), mandatory=True)


async def _next(channel: AbstractChannel) -> LeadReachedOut:
    """The first LeadReachedOut that intake-api would hear."""
    queue = await channel.get_queue(INTAKE_LEAD_STATUS.name, ensure=False)
    async with asyncio.timeout(20), queue.iterator() as messages:
        async for message in messages:
            await message.ack()
            if message.type == LeadReachedOut.type:
                return LeadReachedOut.model_validate_json(message.body)
    raise AssertionError
