"""A relay that loses its broker, its database or its life: rows stay, and then they go."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest
from service_chassis import relay as relays
from service_chassis import telemetry
from shared_schemas.events import AttorneyChanged
from shared_schemas.topology import EXCHANGE

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


async def test_while_the_broker_is_away_rows_stay_and_then_they_go(bench: Bench) -> None:
    async with proxied(bench.amqp_url) as hop, bench.relaying(url=hop.url) as relay:
        await until(lambda: relay.is_connected)
        hop.refuse()
        await until(lambda: relay.is_connected, lambda connected: not connected)
        ids = await bench.say(*(changed() for _ in range(20)))
        tried = hop.accepted
        await until(lambda: hop.accepted, lambda accepted: accepted >= tried + 2)
        assert await bench.count("outbox") == 20
        assert max(pulse.silent_for() for pulse in relay.pulses.values()) < 5
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


@pytest.mark.parametrize("reached", [b"BEGIN;", b"COMMIT;"], ids=["begin", "commit"])
async def test_a_database_link_silent_in_mid_transaction_is_not_used_again(
    bench: Bench, reached: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done in a transaction whose BEGIN or COMMIT got no answer would never be committed."""
    monkeypatch.setattr(relays, "COMMAND_S", 0.5)
    async with proxied(bench.database.app_url) as hop:
        (event_id,) = await bench.say(changed())
        hop.arm("sent", reached)
        async with bench.relaying(database_url=hop.url, relay_lanes=1):
            await asyncio.wait_for(hop.hit.wait(), 10)
            dialled = hop.accepted
            await until(lambda: hop.accepted, lambda accepted: accepted > dialled)
            hop.heal()
            messages = await bench.take_all(ROSTER, 1)
            await empty(bench)
    assert {message.message_id for message in messages} == {str(event_id)}
