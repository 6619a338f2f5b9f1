"""Whatever happens to the broker's link, no message is stranded, and none has its effect twice."""

import asyncio

import pytest
from faststream.rabbit import RabbitMessage
from service_chassis import hearing, telemetry
from service_chassis.consumer import Consumer
from service_chassis.envelope import Envelope
from service_chassis.settings import ConsumerGroup
from shared_schemas.events import AttorneyChanged
from sqlalchemy.ext.asyncio import AsyncSession

from .bench import ROSTER, Bench, changed
from .fault_proxy import proxied
from .handling import ACK, all_acked, handled, note, nothing, subscribed
from .waiting import eventually, until

QUICK = ConsumerGroup(consumer_grace=2.0)


async def test_a_stop_lets_handlers_in_flight_finish_and_gives_the_rest_back(bench: Bench) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def slow(session: AsyncSession, event: AttorneyChanged, envelope: Envelope) -> None:
        entered.set()
        await release.wait()
        await note(session, event, envelope)

    consumer = Consumer(bench.amqp_url, [subscribed(slow)], bench.sessions, QUICK, nothing, "test")
    stop = asyncio.Event()
    running = asyncio.create_task(consumer.run(stop))
    await until(lambda: consumer.is_connected)
    await bench.publish(changed("in flight"))
    await entered.wait()
    stop.set()
    assert not (await asyncio.wait([running], timeout=0.2))[0]
    release.set()
    await asyncio.wait_for(running, 5)
    assert await bench.effects() == ["in flight"]
    assert await bench.take() is None, "the handler in flight was acked"


async def test_an_ack_that_never_arrives_means_a_repeat_without_effect(bench: Bench) -> None:
    repeated = telemetry.HANDLED.labels(ROSTER, "repeated")
    before = repeated._value.get()
    async with proxied(bench.amqp_url) as hop, bench.consuming(subscribed(note), url=hop.url):
        hop.arm("sent", ACK)
        await bench.publish(changed("one"))
        await asyncio.wait_for(hop.hit.wait(), 10)
        assert await bench.effects() == ["one"], "it acked before it committed"
        hop.cut()
        hop.heal()
        await until(repeated._value.get, lambda count: count == before + 1)
    await all_acked(bench)
    assert await bench.effects() == ["one"]
    assert await bench.count("outbox") == 1


async def test_a_broker_that_falls_silent_and_comes_back_strands_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was delivered to a connection that was given up must not stay with it."""
    async with (
        proxied(bench.amqp_url) as hop,
        bench.consuming(subscribed(note), url=hop.url, consumer_grace=0.5, consumer_heartbeat=1) as consumer,
    ):
        hop.freeze()
        for number in range(30):
            await bench.publish(changed(f"n{number}"))
        await until(lambda: consumer.is_connected, lambda connected: not connected, within=20)
        hop.heal()
        await handled(bench, *(f"n{number}" for number in range(30)))
        await until(lambda: hop.connections, lambda connections: connections == 1)


async def test_a_broker_that_is_away_at_the_start_is_waited_for(bench: Bench) -> None:
    async with proxied(bench.amqp_url) as hop:
        hop.refuse()
        consumer = Consumer(hop.url, [subscribed(note)], bench.sessions, QUICK, nothing, "test")
        stop = asyncio.Event()
        running = asyncio.create_task(consumer.run(stop))
        await until(lambda: hop.accepted, lambda accepted: accepted >= 2)
        assert not consumer.is_connected
        hop.heal()
        await bench.publish(changed("one"))
        await handled(bench, "one")
        stop.set()
        await asyncio.wait_for(running, 5)


async def test_a_broker_that_accepts_and_says_nothing_does_not_leave_connections_behind(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service_chassis.consumer.CONNECT_TIMEOUT_S", 0.3)

    async def declared(_urls: str) -> None:
        return

    monkeypatch.setattr("service_chassis.consumer.declare_once", declared)
    async with proxied(bench.amqp_url) as hop:
        hop.freeze()
        consumer = Consumer(hop.url, [subscribed(note)], bench.sessions, QUICK, nothing, "test")
        stop = asyncio.Event()
        running = asyncio.create_task(consumer.run(stop))
        await until(lambda: hop.accepted, lambda accepted: accepted >= 2)
        hop.heal()
        await until(lambda: consumer.is_connected)
        await until(lambda: hop.connections, lambda connections: connections == 1)
        stop.set()
        await asyncio.wait_for(running, 5)


async def test_a_session_that_cannot_be_closed_in_order_keeps_no_message(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database and the broker fall away together; what the old connection holds must come back when it does."""
    monkeypatch.setattr("service_chassis.consumer.STOP_S", 0.5)
    entered, frozen, tries = asyncio.Event(), asyncio.Event(), 0

    async def away_once(session: AsyncSession, event: AttorneyChanged, envelope: Envelope) -> None:
        nonlocal tries
        tries += 1
        if not frozen.is_set():
            entered.set()
            await frozen.wait()
            raise ConnectionRefusedError
        await note(session, event, envelope)

    async with (
        proxied(bench.amqp_url) as hop,
        bench.consuming(subscribed(away_once), url=hop.url, consumer_grace=0.1, consumer_prefetch=3) as consumer,
    ):
        for number in range(10):
            await bench.publish(changed(f"n{number}"))
        await asyncio.wait_for(entered.wait(), 10)
        await until(lambda: tries, lambda count: count == 3)
        hop.freeze()
        frozen.set()
        await until(lambda: consumer.is_connected, lambda connected: not connected)
        accepted = hop.accepted
        await until(lambda: hop.accepted, lambda count: count > accepted)
        hop.heal()
        await handled(bench, *(f"n{number}" for number in range(10)))
        await until(lambda: hop.connections, lambda connections: connections == 1)


async def test_a_queue_that_was_deleted_is_noticed_declared_again_and_heard(bench: Bench) -> None:
    """The connection stands all the while: the library's own ping says yes."""
    async with bench.consuming(subscribed(note)) as consumer:
        await bench.publish(changed("before"))
        await handled(bench, "before")
        await bench.channel.queue_delete(ROSTER)
        await until(lambda: consumer.is_connected, lambda connected: not connected)
        await until(lambda: consumer.is_connected)
        await bench.publish(changed("after"))
        await handled(bench, "before", "after")


async def test_a_consumer_that_is_gone_is_noticed_although_another_process_hears_the_queue(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service_chassis.consumer.LINK_LOST_S", 0.5)
    original, cancelled = hearing.QueueHearer.hear, asyncio.Event()

    async def hear(self: hearing.QueueHearer, message: RabbitMessage) -> None:
        await original(self, message)
        if not cancelled.is_set():
            cancelled.set()
            raw = message.raw_message
            await raw.channel.basic_cancel(raw.consumer_tag or "")

    monkeypatch.setattr(hearing.QueueHearer, "hear", hear)

    async def consumers() -> int:
        return (await bench.waiting())[1]

    async with bench.consuming(subscribed(note)) as one, bench.consuming(subscribed(note)) as other:
        await bench.publish(changed("one"))
        await until(lambda: one.is_connected and other.is_connected, lambda connected: not connected)
        await eventually(consumers, lambda count: count == 2)


async def test_one_channel_closed_by_the_broker_is_opened_again(bench: Bench) -> None:
    hanging = asyncio.Event()

    async def ack_twice(session: AsyncSession, event: AttorneyChanged, envelope: Envelope) -> None:
        await note(session, event, envelope)

    async with bench.consuming(subscribed(ack_twice)):
        original = hearing.QueueHearer.hear

        async def hear(self: hearing.QueueHearer, message: RabbitMessage) -> None:
            await original(self, message)
            if not hanging.is_set():
                hanging.set()
                await message.raw_message.channel.basic_ack(99_999)  # an unknown tag: the broker closes the channel

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(hearing.QueueHearer, "hear", hear)
            await bench.publish(changed("one"))
            await asyncio.wait_for(hanging.wait(), 10)
        await bench.publish(changed("two"))
        await handled(bench, "one", "two")
