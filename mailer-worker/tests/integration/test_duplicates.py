"""One message delivered many times by a real broker is one mail (docs/design.md, invariants 3 and 7)."""

import asyncio
from uuid import uuid4

import aio_pika
from mailer_worker.handlers import make_handlers
from service_chassis import telemetry
from service_chassis.consumer import Consumer
from service_chassis.hearing import Subscription
from service_chassis.topology import declare
from shared_schemas.topology import EXCHANGE, MAILER_OUTREACH

from ..bench import Bench
from ..scripted_relay import ScriptedRelay

COPIES = 5


async def _always_there() -> None:
    return


async def test_an_assignment_delivered_five_times_is_mailed_once(
    bench: Bench, relay: ScriptedRelay, amqp_vhost: str
) -> None:
    event, message_id = bench.assigned(), str(uuid4())
    outcomes = [telemetry.HANDLED.labels(MAILER_OUTREACH.name, one)._value for one in ("handled", "repeated")]
    before = sum(one.get() for one in outcomes)
    connection = await aio_pika.connect(amqp_vhost)
    async with connection:
        channel = await connection.channel(on_return_raises=True)
        await declare(channel)
        exchange = await channel.get_exchange(EXCHANGE, ensure=False)
        for _ in range(COPIES):
            message = aio_pika.Message(event.model_dump_json().encode(), message_id=message_id, type=event.type)
            await exchange.publish(message, event.routing_key(), mandatory=True)
        stop = asyncio.Event()
        subscription = Subscription(MAILER_OUTREACH, make_handlers(bench.settings.suppression_key))
        consumer = Consumer(amqp_vhost, [subscription], bench.sessions, bench.settings, _always_there, "test")
        running = asyncio.create_task(consumer.run(stop))
        async with asyncio.timeout(15):
            while sum(one.get() for one in outcomes) < before + COPIES:  # noqa: ASYNC110 - counters wake nobody
                await asyncio.sleep(0.02)
        stop.set()
        await running
    await bench.send_due()
    assert len(relay.mails_to(bench.address)) == 1
