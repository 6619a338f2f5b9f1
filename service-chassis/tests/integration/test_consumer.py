"""An event has its effect once and whole, whatever happens to handler, database, broker or process."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from aio_pika.abc import AbstractIncomingMessage
from faststream.rabbit import RabbitMessage
from service_chassis import hearing, outbox, telemetry
from service_chassis.consumer import Consumer
from service_chassis.database import Sessions, make_engine, make_sessions, ping
from service_chassis.envelope import BODY_LIMIT_BYTES, Envelope
from service_chassis.hearing import Handler, Subscription
from service_chassis.settings import ConsumerGroup, DatabaseGroup
from shared_schemas.events import AttorneyChanged, LeadClosed
from shared_schemas.topology import ASSIGNMENT_ROSTER
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from .bench import ROSTER, Bench, changed, eventually, proxied, until

HANDLING_PROCESS = Path(__file__).parent / "handling_process.py"
LEAD = UUID("3f0c9d1e-5a44-4d6b-9c53-0c8a6a1f2b77")
ACK = rb"\x00\x3c\x00\x50"
NOTE = text("INSERT INTO effects (note) VALUES (:note)")

QUICK = ConsumerGroup(consumer_grace=2.0)


async def _nothing() -> None:
    """A probe that always succeeds."""


async def note(session: AsyncSession, event: AttorneyChanged, _envelope: Envelope) -> None:
    """The plain handler: an effect and an outgoing event."""
    await session.execute(NOTE, {"note": event.name})
    await outbox.add(session, LeadClosed(lead_id=LEAD, epoch=1))


def subscribed(handler: Handler) -> Subscription:
    return Subscription(ASSIGNMENT_ROSTER, {AttorneyChanged: handler})


async def handled(bench: Bench, *names: str, within: float = 20.0) -> None:
    """Wait until exactly these effects were made, in any order."""
    await eventually(bench.effects, lambda seen: sorted(seen) == sorted(names), within)


async def all_acked(bench: Bench) -> None:
    """Wait until nothing waits; after the last consumer has gone that means: everything was acked."""
    await eventually(bench.waiting, lambda seen: seen == (0, 0))


@contextlib.asynccontextmanager
async def engine_over(url: str) -> AsyncIterator[tuple[Sessions, Callable[[], Awaitable[None]]]]:
    """Sessions over an address of their own, and the probe of that database."""
    engine = make_engine(DatabaseGroup(database_url=url), "test")
    try:
        yield make_sessions(engine), lambda: ping(engine)
    finally:
        await engine.dispose()


async def test_effect_outgoing_event_and_claim_are_made_together(bench: Bench) -> None:
    async with bench.consuming(subscribed(note)):
        message_id = await bench.publish(changed("one"))
        await handled(bench, "one")
    assert await bench.sql.fetchval("SELECT queue || ' ' || message_id FROM inbox") == f"{ROSTER} {message_id}"
    assert await bench.count("outbox") == 1
    assert await bench.count("failures") == await bench.count("delivery_marks") == 0
    assert await bench.take() is None


@pytest.mark.parametrize("step", ["before anything", "after the effect", "after the event", "at the commit"])
async def test_a_fault_between_any_two_statements_leaves_none_of_them(bench: Bench, step: str) -> None:
    left: list[tuple[int, ...]] = []

    async def failing_once(session: AsyncSession, event: AttorneyChanged, envelope: Envelope) -> None:
        first = envelope.rejections == 0
        if not first:
            left.append(tuple([await bench.count(table) for table in ("effects", "outbox", "inbox")]))
        if first and step == "before anything":
            raise ValueError
        await session.execute(NOTE, {"note": event.name})
        if first and step == "after the effect":
            raise ValueError
        await outbox.add(session, LeadClosed(lead_id=LEAD, epoch=1))
        if first and step == "after the event":
            raise ValueError
        if first and step == "at the commit":
            await session.execute(NOTE, {"note": "refused at commit"})

    async with bench.consuming(subscribed(failing_once)):
        await bench.publish(changed("one"))
        await handled(bench, "one")
    assert left == [(0, 0, 0)]
    assert [await bench.count(table) for table in ("effects", "outbox", "inbox")] == [1, 1, 1]
    assert await bench.count("failures") == 0, "the failure is forgotten with the success"


async def test_five_copies_at_once_for_two_consumers_have_one_effect(bench: Bench) -> None:
    event, message_id = changed("one"), str(uuid4())
    repeated = telemetry.HANDLED.labels(ROSTER, "repeated")
    before = repeated._value.get()
    async with bench.consuming(subscribed(note)), bench.consuming(subscribed(note)):
        await asyncio.gather(*(bench.publish(event, message_id=message_id) for _ in range(5)))
        await until(repeated._value.get, lambda count: count == before + 4)
    assert await bench.effects() == ["one"]
    assert await bench.count("outbox") == 1


async def test_a_handler_that_always_fails_is_given_up_after_n_tries_and_its_neighbours_go_on(bench: Bench) -> None:
    tries: list[int] = []

    async def failing(session: AsyncSession, event: AttorneyChanged, envelope: Envelope) -> None:
        if event.name == "bad":
            tries.append(envelope.rejections)
            await session.execute(NOTE, {"note": "half done"})
            raise LookupError("CANARY jane.doe@example.org")
        await note(session, event, envelope)

    event = changed("bad")
    async with bench.consuming(subscribed(failing), consumer_max_attempts=3):
        message_id = await bench.publish(event, headers={"x-own": "1"})
        for number in range(5):
            await bench.publish(changed(f"good {number}"))
        (dead,) = await eventually(bench.dead_letters, bool)
        await handled(bench, *(f"good {number}" for number in range(5)))
    assert tries == [0, 1, 2]
    assert (dead.queue, dead.message_id, dead.message_type) == (ROSTER, message_id, AttorneyChanged.type)
    assert (dead.attempts, dead.error_type) == (3, "LookupError")
    assert dead.error_place.rpartition(":")[0].endswith("test_consumer")
    assert dead.body == event.model_dump_json().encode()
    assert not dead.body_truncated
    assert dead.headers == {"x-own": "1"}
    assert "CANARY" not in dead.model_dump_json()
    assert await bench.count("failures") == 0
    await all_acked(bench)


async def test_a_message_that_fails_waits_in_the_retry_queue(bench: Bench) -> None:
    async def failing(*_: object) -> None:
        raise ValueError

    async with bench.consuming(subscribed(failing)):
        await bench.publish(changed())
        await eventually(lambda: bench.count("failures WHERE attempts >= 2"), bool)
    assert await bench.dead_letters() == []
    message = await eventually(bench.take, lambda taken: taken is not None)
    assert isinstance(message, AbstractIncomingMessage)
    found = message.headers["x-death"]
    assert isinstance(found, list)
    deaths = {(death["queue"], death["reason"]) for death in found if isinstance(death, dict)}
    assert deaths == {(ROSTER, "rejected"), (ASSIGNMENT_ROSTER.retry_name, "expired")}


BIG = b'{"lead_id": "3f0c9d1e-5a44-4d6b-9c53-0c8a6a1f2b77", "x": "' + b"y" * 5_000_000 + b'"}'


POISON: dict[str, tuple[str, bytes, dict[str, Any]]] = {
    "json": ("invalid_body", b'{"half": ', {}),
    "not-utf8": ("invalid_body", b"\xff\xfe not \x00 text", {}),
    "empty": ("invalid_body", b"", {}),
    "5MB": ("invalid_body", BIG, {}),
    "type": ("unknown_type", b'{"n": 1}', {"message_type": "attorney.exploded.v1"}),
    "version": ("unknown_type", b'{"n": 2}', {"message_type": "attorney.changed.v2"}),
    "no-type": ("unknown_type", b'{"n": 3}', {"message_type": None}),
    "no-id": ("missing_message_id", b'{"n": 4}', {"message_id": None}),
    "nul-id": ("missing_message_id", b'{"n": 5}', {"message_id": "nul\x00"}),
    "nul-elsewhere": (
        "unknown_type",
        b'{"n": 6}',
        {"message_type": "nul\x00", "headers": {"nul\x00": "nul\x00", "table": {"a": [1]}}},
    ),
}


async def test_poison_of_every_kind_is_given_up_at_once_with_its_body(bench: Bench) -> None:
    async with bench.consuming(subscribed(note)):
        for _, body, properties in POISON.values():
            await bench.publish(body=body, **properties)
        await bench.publish(changed("neighbour"))
        found = await eventually(bench.dead_letters, lambda dead: len(dead) >= len(POISON))
        await handled(bench, "neighbour")
    by_body = {dead.body: dead for dead in found}
    assert len(found) == len(by_body) == len(POISON)
    for name, (reason, body, _) in POISON.items():
        dead = by_body[body[:BODY_LIMIT_BYTES]]
        assert (dead.error_type, dead.attempts) == (f"Poison:{reason}", 1), name
        assert dead.body_truncated == (len(body) > BODY_LIMIT_BYTES), name
        assert dead.lead_id == (LEAD if body is BIG else None), name
    assert await bench.count("failures") == 0
    await all_acked(bench)


async def test_a_handler_that_finds_its_dependency_away_is_not_counted_and_consuming_pauses(bench: Bench) -> None:
    tries = 0
    database_back, asked = asyncio.Event(), 0

    async def probe() -> None:
        nonlocal asked
        asked += 1
        if tries and not database_back.is_set():
            raise ConnectionRefusedError

    async def away_once(session: AsyncSession, event: AttorneyChanged, envelope: Envelope) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ConnectionRefusedError
        await note(session, event, envelope)

    async with bench.consuming(subscribed(away_once), probe=probe, consumer_max_attempts=1) as consumer:
        await bench.publish(changed("one"))
        await until(lambda: consumer.is_connected, lambda connected: not connected)
        before = asked
        await until(lambda: asked, lambda count: count >= before + 2)
        assert tries == 1, "it consumed while its database was away"
        assert not consumer.is_connected
        database_back.set()
        await handled(bench, "one")
    assert await bench.dead_letters() == []
    assert await bench.count("failures") == 0


async def test_a_database_that_goes_away_under_way_comes_back_and_nothing_is_counted(bench: Bench) -> None:
    async with (
        proxied(bench.database.app_url) as hop,
        engine_over(hop.url) as (sessions, probe),
        bench.consuming(subscribed(note), sessions=sessions, probe=probe, consumer_max_attempts=1) as consumer,
    ):
        await bench.publish(changed("before"))
        await handled(bench, "before")
        hop.refuse()
        for number in range(30):
            await bench.publish(changed(f"meanwhile {number}"))
        await until(lambda: consumer.is_connected, lambda connected: not connected)
        hop.heal()
        await handled(bench, "before", *(f"meanwhile {number}" for number in range(30)))
    assert await bench.dead_letters() == []
    assert await bench.count("failures") == 0


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("SELECT 1/0", "division by zero"),
        ("SET LOCAL statement_timeout = '20ms'; SELECT pg_sleep(5)", "statement timeout"),
        ("SELECT 'x'::int", "no number"),
    ],
)
async def test_an_error_that_the_database_answers_with_is_the_messages_fault(
    bench: Bench, statement: str, name: str
) -> None:
    async def failing(session: AsyncSession, _event: AttorneyChanged, _envelope: Envelope) -> None:
        for part in statement.split(";"):
            await session.execute(text(part))

    async with bench.consuming(subscribed(failing), consumer_max_attempts=1) as consumer:
        await bench.publish(changed(name))
        (dead,) = await eventually(bench.dead_letters, bool)
        assert consumer.is_connected
    assert dead.attempts == 1


async def test_a_value_that_no_column_can_hold_is_the_messages_fault(bench: Bench) -> None:
    async def failing(session: AsyncSession, event: AttorneyChanged, _envelope: Envelope) -> None:
        await session.execute(text("SELECT CAST(:version AS integer)"), {"version": event.version})

    async with bench.consuming(subscribed(failing), consumer_max_attempts=1) as consumer:
        await bench.publish(changed(version=2**70))
        (dead,) = await eventually(bench.dead_letters, bool)
        assert consumer.is_connected
    assert dead.attempts == 1


async def test_a_connection_ended_by_the_server_is_a_dependency_away(bench: Bench) -> None:
    victims = 0

    async def ended_once(session: AsyncSession, event: AttorneyChanged, envelope: Envelope) -> None:
        nonlocal victims
        if not victims:
            pid = (await session.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            victims += 1
            await bench.as_admin(f"SELECT pg_terminate_backend({pid})::int")
        await note(session, event, envelope)

    async with bench.consuming(subscribed(ended_once), consumer_max_attempts=1):
        await bench.publish(changed("one"))
        await handled(bench, "one")
    assert victims == 1
    assert await bench.dead_letters() == []


async def test_two_handlers_that_deadlock_are_tried_again_in_place(bench: Bench) -> None:
    await bench.sql.execute("INSERT INTO effects (note) VALUES ('left'), ('right')")
    both, entered = asyncio.Event(), 0
    tries: list[tuple[str, int]] = []
    lock = text("UPDATE effects SET note = note WHERE note = :note")

    async def crossing(session: AsyncSession, event: AttorneyChanged, envelope: Envelope) -> None:
        nonlocal entered
        tries.append((event.name, envelope.rejections))
        first, second = ("left", "right") if event.name == "one" else ("right", "left")
        await session.execute(lock, {"note": first})
        entered += 1
        if entered == 2:
            both.set()
        await both.wait()
        await session.execute(lock, {"note": second})
        await session.execute(NOTE, {"note": event.name})

    async with bench.consuming(subscribed(crossing), consumer_max_attempts=1):
        await bench.publish(changed("one"))
        await bench.publish(changed("other"))
        await handled(bench, "left", "right", "one", "other")
    assert len(tries) == 3, "the loser was tried once more"
    assert {rejections for _, rejections in tries} == {0}, "in place, not by way of the broker"
    assert await bench.count("failures") == 0


@pytest.mark.parametrize("code", ["40P01", "40001"])
async def test_a_collision_that_does_not_end_in_place_comes_back_later_and_is_never_counted(
    bench: Bench, code: str
) -> None:
    tries: list[int] = []

    async def colliding(session: AsyncSession, event: AttorneyChanged, envelope: Envelope) -> None:
        tries.append(envelope.rejections)
        if envelope.rejections < 1:
            await session.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{code}'; END $$"))
        await note(session, event, envelope)

    async with bench.consuming(subscribed(colliding), consumer_max_attempts=1):
        await bench.publish(changed("one"))
        await handled(bench, "one")
    assert tries == [0] * (1 + hearing.TRIES_IN_PLACE) + [1]
    assert await bench.dead_letters() == []
    assert await bench.count("failures") == 0


async def test_a_stop_lets_handlers_in_flight_finish_and_gives_the_rest_back(bench: Bench) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def slow(session: AsyncSession, event: AttorneyChanged, envelope: Envelope) -> None:
        entered.set()
        await release.wait()
        await note(session, event, envelope)

    consumer = Consumer(bench.amqp_url, [subscribed(slow)], bench.sessions, QUICK, _nothing, "test")
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
        consumer = Consumer(hop.url, [subscribed(note)], bench.sessions, QUICK, _nothing, "test")
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
        consumer = Consumer(hop.url, [subscribed(note)], bench.sessions, QUICK, _nothing, "test")
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


class Worker:
    """A worker process, started again whenever it dies; ``deaths`` counts that."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process, self.deaths = process, 0

    async def watch(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.deaths += line == b"died\n"


@contextlib.asynccontextmanager
async def working(bench: Bench, folder: Path) -> AsyncIterator[Worker]:
    """A worker process that runs meanwhile, and ends in order afterwards."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HANDLING_PROCESS),
        json.dumps([bench.database.app_url, bench.amqp_url, str(folder)]),
        stdout=asyncio.subprocess.PIPE,
    )
    worker = Worker(process)
    watching = asyncio.create_task(worker.watch())
    try:
        yield worker
    finally:
        process.terminate()
        code = await asyncio.wait_for(process.wait(), 20)
        await watching
    assert code == 0


@pytest.mark.parametrize("rejected_before", [False, True], ids=["fresh", "rejected-before"])
async def test_a_message_that_kills_its_process_is_given_up_and_its_neighbours_are_done_once(
    bench: Bench, tmp_path: Path, rejected_before: bool
) -> None:
    killer = changed("fail once, then die" if rejected_before else "die")
    message_id = await bench.publish(killer)
    for number in range(9):
        await bench.publish(changed(f"good {number}"))
    good = sorted(f"good {number}" for number in range(9))

    async with working(bench, tmp_path) as worker:
        await handled(bench, *good, within=30)
        await eventually(bench.dead_letters, bool, within=30)
    (dead,) = await bench.dead_letters()
    assert (dead.message_id, dead.error_type, dead.attempts) == (message_id, "ProcessDied", hearing.LAST_MARK)
    assert dead.body == killer.model_dump_json().encode()
    assert worker.deaths in (hearing.LAST_MARK, hearing.LAST_MARK + 1)
    assert await bench.count("delivery_marks") == 0
    await all_acked(bench)


@pytest.mark.parametrize("moment", ["before commit", "after commit"])
async def test_a_process_that_dies_around_its_commit_has_made_one_effect(
    bench: Bench, tmp_path: Path, moment: str
) -> None:
    """After the commit and before the ack; or before the commit, where an ack would have lost the message."""
    await bench.publish(changed(f"die {moment}, once"))

    async with working(bench, tmp_path) as worker:
        await until(lambda: worker.deaths, bool, within=30)
        await bench.publish(changed("later"))
        await eventually(bench.effects, lambda seen: "later" in seen)  # what came back is delivered before it
    assert worker.deaths == 1
    assert sorted(await bench.effects()) == [f"die {moment}, once", "later"]
    assert await bench.dead_letters() == []
    await all_acked(bench)
