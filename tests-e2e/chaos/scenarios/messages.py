"""Messages by hand: published past the product's relays, taken off a queue, put back in another order."""

import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from chaos.run import Run

EXCHANGE = "leads.events"


@asynccontextmanager
async def channel_of(run: Run) -> AsyncIterator[AbstractChannel]:
    """A channel of the test's own, with confirms."""
    connection = await aio_pika.connect(run.stack.run["amqp_url"], timeout=10)
    async with connection:
        yield await connection.channel()


@asynccontextmanager
async def heard(run: Run) -> AsyncIterator[Counter[str]]:
    """How often each event was published, by message id: as a hearer of everything."""
    times: Counter[str] = Counter()

    async def count(message: AbstractIncomingMessage) -> None:
        times[message.message_id or ""] += 1

    async with channel_of(run) as channel:
        copies = await channel.declare_queue(exclusive=True)
        await copies.bind(EXCHANGE, "#")
        await copies.consume(count, no_ack=True)
        yield times


def copy_of(message: AbstractIncomingMessage, *, message_id: str | None = None) -> aio_pika.Message:
    """The same message again, or with an id of its own."""
    fields: dict[str, Any] = {
        name: getattr(message, name)
        for name in ("message_id", "type", "timestamp", "app_id", "correlation_id", "content_type", "headers")
    }
    if message_id:
        fields["message_id"] = message_id
    return aio_pika.Message(message.body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT, **fields)


def registration_of_nobody(headers: Mapping[str, str]) -> aio_pika.Message:
    """A well-formed LeadRegistered of a lead that nobody has submitted."""
    body = {
        "lead_id": str(uuid.uuid4()),
        "epoch": 0,
        "first_name": "Nobody",
        "last_name": "Atall",
        "email": f"{uuid.uuid4().hex}@example.com",
        "registered_at": datetime.now(UTC).isoformat(),
    }
    return aio_pika.Message(
        json.dumps(body).encode(),
        message_id=str(uuid.uuid4()),
        type="lead.registered.v1",
        app_id="chaos",
        headers=dict(headers),
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )


async def take_all(channel: AbstractChannel, queue: str) -> list[AbstractIncomingMessage]:
    """Take every ready message off a queue, in order; not acked yet."""
    found = await channel.get_queue(queue)
    taken: list[AbstractIncomingMessage] = []
    while message := await found.get(fail=False):
        taken.append(message)
    return taken


async def put_back(channel: AbstractChannel, queue: str, messages: Sequence[AbstractIncomingMessage]) -> None:
    """Put messages at the end of a queue in this order, and only then ack them."""
    for message in messages:
        await channel.default_exchange.publish(copy_of(message), queue)
    for message in messages:
        await message.ack()


def lead_of(message: AbstractIncomingMessage) -> str:
    """The lead that a message is about."""
    return str(json.loads(message.body)["lead_id"])


def epoch_of(message: AbstractIncomingMessage) -> int:
    """The epoch that a message is of."""
    return int(json.loads(message.body)["epoch"])
