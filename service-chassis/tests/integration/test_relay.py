"""The relay loses nothing: a row goes only after its confirm, whatever happens to broker, database or process."""

import asyncio
import json
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from service_chassis import outbox, telemetry
from service_chassis.envelope import BROKER_HEADERS
from service_chassis.topology import TopologyMismatchError
from shared_schemas.events import AttorneyChanged, LeadErased
from shared_schemas.topology import ASSIGNMENT_LEADS, ASSIGNMENT_ROSTER, EXCHANGE, MAILER_OUTREACH

from .bench import ROSTER, Bench, changed
from .fault_proxy import proxied
from .waiting import eventually, until

RELAY_PROCESS = Path(__file__).parent / "relay_process.py"
CONFIRM = rb"\x00\x3c\x00\x50"
"""basic.ack, as the broker confirms with."""
DECLARED = rb"\x00\x32\x00\x0b"
"""queue.declare-ok."""


async def empty(bench: Bench) -> None:
    """Wait until the outbox is empty."""
    await eventually(lambda: bench.count("outbox"), lambda rows: rows == 0)


async def test_a_confirmed_event_has_arrived_whole_and_its_row_is_gone(bench: Bench) -> None:
    event = changed()
    async with bench.relaying():
        (event_id,) = await bench.say(event)
        (message,) = await bench.take_all(ROSTER, 1)
        await empty(bench)
    assert message.delivery_mode == 2
    assert message.message_id == str(event_id)
    assert message.type == AttorneyChanged.type
    assert message.app_id == "test"
    assert message.timestamp is not None
    assert message.content_type == "application/json"
    assert message.correlation_id is not None
    assert telemetry.trace_id_of(str(message.headers["traceparent"])) == message.correlation_id
    assert AttorneyChanged.model_validate_json(message.body) == event


async def test_an_event_is_relayed_at_once_when_it_is_said(bench: Bench) -> None:
    async with bench.relaying(relay_poll_interval=60.0):
        await bench.say(changed())
        await bench.take_all(ROSTER, 1)
        await bench.say(changed())
        await bench.take_all(ROSTER, 1, within=3)


async def test_an_unroutable_event_stays_until_the_binding_is_back(bench: Bench) -> None:
    queue = await bench.channel.get_queue(ROSTER)
    unroutable = telemetry.UNROUTABLE.labels(AttorneyChanged.type)
    async with bench.relaying(relay_lanes=1) as relay:
        await until(lambda: relay.is_connected)
        await queue.unbind(EXCHANGE, "attorney.changed")
        before = unroutable._value.get()
        (event_id,) = await bench.say(changed())
        await until(unroutable._value.get, lambda count: count == before + 1)
        (message,) = await bench.take_all(ROSTER, 1)
        await empty(bench)
    assert message.message_id == str(event_id)


async def test_one_unroutable_row_does_not_slow_a_backlog_down(bench: Bench) -> None:
    first, *others = await bench.say(*(changed() for _ in range(300)))
    await bench.sql.execute("UPDATE outbox SET routing_key = 'nobody.listens' WHERE event_id = $1", str(first))
    async with bench.relaying(relay_lanes=1, relay_batch=100, relay_poll_interval=60.0):
        messages = await bench.take_all(ROSTER, len(others))
    assert {message.message_id for message in messages} == {str(event_id) for event_id in others}
    rows = await bench.sql.fetch("SELECT event_id, parked_at, error FROM outbox")
    assert [(row["event_id"], row["parked_at"], row["error"]) for row in rows] == [(str(first), None, "PublishError")]


async def test_a_missing_binding_of_two_is_put_back_within_the_interval(bench: Bench) -> None:
    async with bench.relaying(topology_interval=0.1) as relay:
        await until(lambda: relay.is_connected)
        await (await bench.channel.get_queue(MAILER_OUTREACH.name)).unbind(EXCHANGE, "lead.erased")

        async def said_and_heard_by_both() -> bool:
            async with bench.sessions.begin() as session:
                await outbox.add(session, LeadErased(lead_id=uuid4(), epoch=1))
            await bench.take_all(ASSIGNMENT_LEADS.name, 1)
            return await bench.take(MAILER_OUTREACH.name) is not None

        await eventually(said_and_heard_by_both, bool)


async def test_a_deleted_exchange_is_made_again_and_nothing_is_lost(bench: Bench) -> None:
    async with bench.relaying() as relay:
        await until(lambda: relay.is_connected)
        await bench.channel.exchange_delete(EXCHANGE)
        ids = await bench.say(*(changed() for _ in range(5)))
        messages = await bench.take_all(ROSTER, 5)
        await empty(bench)
    assert {message.message_id for message in messages} == {str(event_id) for event_id in ids}


DAMAGES = (
    "headers = '[]'",
    "event_id = ''",
    "routing_key = ''",
    "event_id = repeat('x', 300)",
    "type = repeat('x', 300)",
    "correlation_id = repeat('x', 300)",
    "routing_key = repeat('x', 300)",
)


async def test_rows_that_are_no_messages_are_parked_and_their_neighbours_go(bench: Bench) -> None:
    parked = telemetry.PARKED._value.get()
    lost = telemetry.PUBLISH_FAILED.labels("TypeError")._value.get()
    first, *damaged, last = await bench.say(*(changed() for _ in range(len(DAMAGES) + 2)))
    for event_id, damage in zip(damaged, DAMAGES, strict=True):
        await bench.sql.execute(f"UPDATE outbox SET {damage} WHERE event_id = $1", str(event_id))  # noqa: S608 - see above
    async with bench.relaying():
        messages = await bench.take_all(ROSTER, 2)
        await eventually(lambda: bench.count("outbox WHERE parked_at IS NULL"), lambda rows: rows == 0)
    assert [message.message_id for message in messages] == [str(first), str(last)]
    assert {row["error"] for row in await bench.sql.fetch("SELECT error FROM outbox")} == {"malformed"}
    assert telemetry.PARKED._value.get() == parked + len(DAMAGES)
    assert telemetry.PUBLISH_FAILED.labels("TypeError")._value.get() == lost, "no link was dropped for it"


async def test_a_row_that_commits_after_a_later_one_is_not_skipped(bench: Bench) -> None:
    """By one lane: a second one could pick up what the first had skipped, and hide it."""
    async with bench.relaying(relay_lanes=1), bench.sessions() as slow:
        first = await outbox.add(slow, changed())
        (second,) = await bench.say(changed())
        (message,) = await bench.take_all(ROSTER, 1)
        assert message.message_id == str(second)
        await slow.commit()
        (message,) = await bench.take_all(ROSTER, 1)
        assert message.message_id == str(first)


async def test_on_stop_what_is_left_is_still_said(bench: Bench) -> None:
    await bench.say(*(changed() for _ in range(250)))
    stop = asyncio.Event()
    stop.set()
    await asyncio.wait_for(bench.relay(relay_lanes=1).run(stop), 10)
    assert await bench.count("outbox") == 0
    assert len(await bench.take_all(ROSTER, 250)) == 250


async def test_on_stop_an_absent_broker_does_not_hold_the_process(bench: Bench) -> None:
    await bench.say(changed())
    stop = asyncio.Event()
    stop.set()
    async with proxied(bench.amqp_url) as hop:
        hop.freeze()
        relay = bench.relay(url=hop.url, relay_drain_timeout=0.3)
        await asyncio.wait_for(relay.run(stop), 3)
    assert await bench.count("outbox") == 1


async def test_an_addressed_message_reaches_its_queue_only_as_it_was(bench: Bench) -> None:
    body = b'{"not": "json\xff'
    async with bench.sessions.begin() as session:
        await outbox.add_addressed(
            session,
            queue=ASSIGNMENT_LEADS.name,
            message_id="the-old-id",
            message_type=LeadErased.type,
            correlation_id="trace",
            headers={"x-own": "1"},
            body=body,
            lead_id=None,
        )
    async with bench.relaying():
        (message,) = await bench.take_all(ASSIGNMENT_LEADS.name, 1)
        await empty(bench)
    assert (message.message_id, message.type, message.body) == ("the-old-id", LeadErased.type, body)
    assert {name: value for name, value in message.headers.items() if name not in BROKER_HEADERS} == {"x-own": "1"}
    assert await bench.take(MAILER_OUTREACH.name) is None


async def test_other_arguments_on_the_broker_end_the_relay(bench: Bench) -> None:
    await bench.channel.queue_delete(ASSIGNMENT_ROSTER.retry_name)
    await bench.channel.declare_queue(ASSIGNMENT_ROSTER.retry_name, durable=True)
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(bench.relay().run(asyncio.Event()), 10)
    assert caught.group_contains(TopologyMismatchError, match=ASSIGNMENT_ROSTER.retry_name)


async def test_the_backlog_is_measured(bench: Bench) -> None:
    await bench.say(changed(), changed(), changed())
    await bench.sql.execute(
        "UPDATE outbox SET created_at = now() - interval '1 hour', next_attempt_at = now() + interval '1 hour'"
    )
    await bench.sql.execute("UPDATE outbox SET parked_at = now() WHERE id = (SELECT max(id) FROM outbox)")
    async with bench.relaying():
        gauges = (telemetry.OUTBOX_ROWS, telemetry.OUTBOX_PARKED, telemetry.OUTBOX_AGE)
        seen = await until(lambda: [gauge._value.get() for gauge in gauges], lambda values: values[:2] == [2, 1])
    assert 3600 <= seen[2] < 3700


async def test_a_row_tried_in_vain_waits_longer_each_time(bench: Bench) -> None:
    queue = await bench.channel.get_queue(ROSTER)
    relay = bench.relay(relay_lanes=1)
    await bench.say(changed())
    lane, waits = relay._lanes[0], []
    connection = await asyncpg.connect(bench.database.app_url)
    try:
        for _ in range(6):
            await lane.link.channel()
            await queue.unbind(EXCHANGE, "attorney.changed")
            await bench.sql.execute("UPDATE outbox SET next_attempt_at = now()")
            assert await lane._drain(connection) == 0
            row = await bench.sql.fetchrow(
                "SELECT attempts, error, extract(epoch FROM next_attempt_at - now())::float8 AS wait FROM outbox"
            )
            assert row is not None
            waits.append(row["wait"])
            assert row["error"] == "PublishError"
    finally:
        await connection.close()
        await lane.link.drop()
    assert row["attempts"] == 6
    for wait, expected in zip(waits, (0.5, 1, 2, 4, 8, 10), strict=True):
        assert expected * 0.8 - 0.5 <= wait <= expected * 1.2, json.dumps(waits)
