"""The process itself, over a real broker: hears, chooses, says, explains, stops with 0."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import aio_pika
import httpx
import pytest
from service_chassis.topology import declare_once
from shared_schemas.events import AttorneyChanged, Event, LeadAssigned, LeadRegistered, LeadWaiting
from shared_schemas.topology import EXCHANGE, INTAKE_LEAD_STATUS

from deploy.local.service_addresses import DatabaseAddresses

TRACE = "0af7651916cd43dd8448eb211c80319c"
GRACE = AttorneyChanged(
    attorney_id=UUID(int=7), version=1, name="Grace Hopper", email="grace@firm.example", available=True
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def registered() -> LeadRegistered:
    return LeadRegistered(
        lead_id=uuid4(),
        epoch=0,
        first_name="Ada",
        last_name="Byron",
        email="ada@prospect.example",
        registered_at=datetime.now(UTC),
    )


class Firm:
    """What stands around the worker: the exchange it hears, the queue in which intake-api would hear it."""

    def __init__(self, channel: aio_pika.abc.AbstractChannel) -> None:
        self._channel = channel

    async def say(self, event: Event, message_id: str | None = None) -> None:
        exchange = await self._channel.get_exchange(EXCHANGE)
        message = aio_pika.Message(
            event.model_dump_json().encode(),
            message_id=message_id or str(uuid4()),
            type=event.type,
            headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"},
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        await exchange.publish(message, event.routing_key())

    async def heard(self, seconds: float = 20) -> aio_pika.abc.AbstractIncomingMessage:
        queue = await self._channel.get_queue(INTAKE_LEAD_STATUS.name)
        async with asyncio.timeout(seconds), queue.iterator() as messages:
            message = await anext(aiter(messages))
            await message.ack()
            return message


@pytest.fixture
async def firm(amqp_vhost: str) -> AsyncIterator[Firm]:
    await declare_once(amqp_vhost)
    connection = await aio_pika.connect(amqp_vhost)
    yield Firm(await connection.channel())
    await connection.close()


@pytest.fixture
async def ops(database: DatabaseAddresses, amqp_vhost: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A running worker and the address of its ops port."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "assignment_worker.worker",
        env={
            "PATH": os.environ["PATH"],
            "LEADS_ENVIRONMENT": "test",
            "ASSIGNMENT_DATABASE_URL": database.app_url,
            "ASSIGNMENT_OPS_PORT": str(port),
            "AMQP_URL": amqp_vhost,
        },
    )
    yield process, f"http://127.0.0.1:{port}"
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def answer(url: str, seconds: float = 20) -> httpx.Response:
    """Poll until the answer is 200; fail with the last one seen."""
    last: object = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds), httpx.AsyncClient() as client:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    response = await client.get(url)
                    if response.status_code == 200:
                        return response
                    last = response.text
                await asyncio.sleep(0.05)
    pytest.fail(f"{url} not 200 within {seconds} s; last: {last}")


async def test_a_lead_said_five_times_is_assigned_once_in_its_trace(
    firm: Firm, ops: tuple[asyncio.subprocess.Process, str]
) -> None:
    process, address = ops
    event = registered()
    await firm.say(GRACE)
    await asyncio.gather(*(firm.say(event, "018f-one") for _ in range(5)))
    message = await firm.heard()
    if message.type == LeadWaiting.type:  # the two queues have no order between them
        message = await firm.heard()
    said = LeadAssigned.model_validate_json(message.body)
    assert (said.lead_id, said.attorney.id) == (event.lead_id, GRACE.attorney_id)
    assert message.correlation_id == TRACE
    told = (await answer(f"{address}/internal/leads/{event.lead_id}")).json()
    assert (told["state"], told["attorney_id"]) == ("assigned", str(GRACE.attorney_id))
    assert (await answer(f"{address}/readyz")).json()["checks"]["choosing"] == "ok"
    assert "assignment_choices_total 1.0" in (await answer(f"{address}/metrics")).text
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(20):
        assert await process.wait() == 0


async def test_help_tells_what_it_is() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "assignment_worker.worker", "--help", stdout=asyncio.subprocess.PIPE
    )
    shown, _ = await process.communicate()
    assert process.returncode == 0
    assert b"ASSIGNMENT_" in shown
