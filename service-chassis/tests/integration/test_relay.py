"""The relay loses nothing: a row goes only after its confirm, whatever happens to broker, database or process."""

import asyncio
import json
import signal
import sys
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from service_chassis import outbox, telemetry
from service_chassis.envelope import BROKER_HEADERS
from service_chassis.topology import TopologyMismatchError
from shared_schemas.events import AttorneyChanged, LeadErased
from shared_schemas.topology import ASSIGNMENT_LEADS, ASSIGNMENT_ROSTER, EXCHANGE, MAILER_OUTREACH

from .bench import ROSTER, Bench, changed, eventually, proxied, until

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


async def test_while_the_broker_is_away_rows_stay_and_then_they_go(bench: Bench) -> None:
    async with proxied(bench.amqp_url) as hop, bench.relaying(url=hop.url) as relay:
        await until(lambda: relay.is_connected)
        hop.refuse()
        await until(lambda: relay.is_connected, lambda connected: not connected)
        ids = await bench.say(*(changed() for _ in range(20)))
        tried = hop.accepted
        await until(lambda: hop.accepted, lambda accepted: accepted >= tried + 2)
        assert await bench.count("outbox") == 20
        assert relay.stalled_for() < 5
        hop.heal()
        messages = await bench.take_all(ROSTER, 20)
        await empty(bench)
    assert sorted(str(message.message_id) for message in messages) == sorted(map(str, ids))


async def test_a_broker_that_does_not_answer_is_a_timeout_and_not_a_loss(bench: Bench) -> None:
    """What a memory alarm looks like: the connection stands, and no confirm comes."""
    async with proxied(bench.amqp_url) as hop, bench.relaying(url=hop.url, relay_publish_timeout=0.3) as relay:
        await until(lambda: relay.is_connected)
        failed = telemetry.PUBLISH_FAILED.labels("TimeoutError")
        before, dialled = failed._value.get(), hop.accepted
        hop.freeze()
        ids = await bench.say(*(changed() for _ in range(5)))
        await until(failed._value.get, lambda count: count > before)
        assert await bench.count("outbox") == 5
        await until(lambda: hop.accepted, lambda accepted: accepted > dialled)  # the silent link is not trusted again
        hop.heal()
        messages = await bench.take_all(ROSTER, 5)
        await empty(bench)
        messages += await bench.take_all(ROSTER, 0)
    assert {message.message_id for message in messages} == set(map(str, ids))


@pytest.mark.parametrize("reached", [DECLARED, CONFIRM], ids=["declaring", "confirming"])
async def test_a_link_lost_in_mid_step_ends_no_lane(bench: Bench, reached: bytes) -> None:
    """A dying link cancels what waits for it with a bare CancelledError, which would end a lane in silence."""
    async with proxied(bench.amqp_url) as hop:
        hop.arm("answered", reached)
        async with bench.relaying(url=hop.url, relay_lanes=1):
            ids = await bench.say(*(changed() for _ in range(5)))
            await asyncio.wait_for(hop.hit.wait(), 10)
            hop.cut()
            hop.heal()
            messages = await bench.take_all(ROSTER, 5)
            await empty(bench)
    assert {message.message_id for message in messages} == set(map(str, ids))


async def test_two_relays_share_the_work_and_neither_loses_nor_doubles(bench: Bench) -> None:
    await bench.sql.execute(
        """INSERT INTO outbox (event_id, type, exchange, routing_key, correlation_id, headers, body)
        SELECT 'event-' || n, $1, $2, 'attorney.changed', 'trace', '{}', '{}' FROM generate_series(1, 2000) n""",
        AttorneyChanged.type,
        EXCHANGE,
    )
    async with bench.relaying(app_id="one"), bench.relaying(app_id="other"):
        await empty(bench)
        messages = await bench.take_all(ROSTER, 2000)
    assert sorted(str(message.message_id) for message in messages) == sorted(f"event-{n}" for n in range(1, 2001))
    assert {message.app_id for message in messages} == {"one", "other"}


async def test_a_relay_killed_before_its_confirms_arrive_loses_nothing(bench: Bench) -> None:
    ids = await bench.say(*(changed() for _ in range(200)))
    async with proxied(bench.amqp_url) as hop:
        hop.arm("answered", CONFIRM)
        victim = await asyncio.create_subprocess_exec(
            sys.executable, str(RELAY_PROCESS), bench.database.app_url, hop.url
        )
        await asyncio.wait_for(hop.hit.wait(), 20)
        victim.send_signal(signal.SIGKILL)
        await victim.wait()
    assert await bench.count("outbox") == 200, "the fault did not land: rows were deleted before the kill"
    async with bench.relaying():
        messages = await bench.take_all(ROSTER, 200)
        await empty(bench)
    published = [str(message.message_id) for message in messages]
    assert set(published) == set(map(str, ids))
    assert len(published) > 200, "the fault did not land: nothing had been published before the kill"


async def test_after_its_database_connection_was_ended_the_relay_goes_on(
    bench: Bench,
) -> None:
    async with bench.relaying():
        await bench.say(changed())
        await bench.take_all(ROSTER, 1)
        await empty(bench)
        assert await bench.end_connections("% relay %") == 2
        (event_id,) = await bench.say(changed())
        (message,) = await bench.take_all(ROSTER, 1)
        assert message.message_id == str(event_id)


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
