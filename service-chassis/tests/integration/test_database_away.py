"""A database that is away or in the way is nobody's fault: nothing is counted, and everything comes back."""

import asyncio

import pytest
from service_chassis import hearing
from service_chassis.envelope import Envelope
from shared_schemas.events import AttorneyChanged
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from .bench import Bench, changed
from .fault_proxy import proxied
from .handling import NOTE, all_acked, engine_over, handled, note, subscribed
from .waiting import eventually, until


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
    tries = 0

    async def failing(session: AsyncSession, _event: AttorneyChanged, _envelope: Envelope) -> None:
        nonlocal tries
        tries += 1
        for part in statement.split(";"):
            await session.execute(text(part))

    async with bench.consuming(subscribed(failing), consumer_max_attempts=1) as consumer:
        await bench.publish(changed(name))
        (dead,) = await eventually(bench.dead_letters, bool)
        assert consumer.is_connected
    assert dead.attempts == 1
    assert tries == (2 if name == "statement timeout" else 1)
    assert dead.error_place.startswith(f"{__name__}:"), "the line of the handler, not one of the driver's"


OVERDUE = """
    SELECT clock_timestamp() - query_start > interval '1.2 s' FROM pg_stat_activity
    WHERE query LIKE '%AS described' AND state = 'active'
"""


async def test_a_statement_ended_because_the_link_fell_silent_under_it_is_not_counted(bench: Bench) -> None:
    """PostgreSQL's clock for a statement starts at the driver's Parse, and strikes at its next word, however late."""
    tries = 0

    async def interrupted(session: AsyncSession, event: AttorneyChanged, envelope: Envelope) -> None:
        nonlocal tries
        tries += 1
        await session.execute(text("SELECT 1 AS described"))
        await note(session, event, envelope)

    async def is_overdue() -> bool:
        async with bench.sessions.begin() as onlooker:
            return bool(await onlooker.scalar(text(OVERDUE)))

    async with (
        proxied(bench.database.app_url) as hop,
        engine_over(hop.url, statement_timeout=1.0) as (sessions, probe),
        bench.consuming(subscribed(interrupted), sessions=sessions, probe=probe, consumer_max_attempts=1),
    ):
        hop.arm("answered", b"described")
        await bench.publish(changed("one"))
        await eventually(is_overdue, bool)
        hop.heal()
        await handled(bench, "one")
    assert tries == 2
    assert await bench.dead_letters() == []
    assert await bench.count("failures") == 0


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


async def test_a_message_whose_lock_another_holds_comes_back_later_and_is_never_counted(bench: Bench) -> None:
    """As when the holder's process is cut off: PostgreSQL keeps its locks until it notices."""
    limits: list[int] = []

    async def waiting(session: AsyncSession, event: AttorneyChanged, envelope: Envelope) -> None:
        limits.append(await session.scalar(text("SELECT setting::int FROM pg_settings WHERE name = 'lock_timeout'")))
        await session.execute(text("SET LOCAL lock_timeout = '200ms'"))
        await session.execute(text("SELECT pg_advisory_xact_lock(7)"))
        await note(session, event, envelope)

    async def is_tried_again() -> bool:
        return len(limits) > 1

    async with bench.sessions.begin() as holder:
        await holder.execute(text("SELECT pg_advisory_xact_lock(7)"))
        async with bench.consuming(subscribed(waiting), consumer_max_attempts=1):
            await bench.publish(changed("one"))
            await eventually(is_tried_again, bool)
            await holder.rollback()
            await handled(bench, "one")
    assert 0 < limits[0] < 10_000, "a wait for a lock ends first, with an error of its own"
    assert await bench.dead_letters() == []
    assert await bench.count("failures") == 0


async def test_a_handler_that_always_hangs_on_one_message_is_given_up(bench: Bench) -> None:
    async def handle(session: AsyncSession, event: AttorneyChanged, envelope: Envelope) -> None:
        if event.name == "hangs":
            await asyncio.Event().wait()
        await note(session, event, envelope)

    consuming = bench.consuming(subscribed(handle), consumer_handler_timeout=0.3, consumer_max_attempts=2)
    async with consuming:
        message_id = await bench.publish(changed("hangs"))
        await bench.publish(changed("neighbour"))
        await handled(bench, "neighbour")
        (dead,) = await eventually(bench.dead_letters, bool)
    assert (dead.message_id, dead.attempts, dead.error_type) == (message_id, 2, "HandlerDeadlineError")
    await all_acked(bench)


async def test_a_handler_that_hangs_while_the_database_does_not_answer_is_not_counted(bench: Bench) -> None:
    away, tries = asyncio.Event(), 0
    away.set()

    async def probe() -> None:
        if away.is_set() and tries:
            raise ConnectionError

    async def handle(session: AsyncSession, event: AttorneyChanged, envelope: Envelope) -> None:
        nonlocal tries
        tries += 1
        if away.is_set():
            await asyncio.Event().wait()
        await note(session, event, envelope)

    async with bench.consuming(
        subscribed(handle), probe=probe, consumer_handler_timeout=0.3, consumer_max_attempts=1
    ) as consumer:
        await bench.publish(changed("one"))
        await until(lambda: tries)
        await until(lambda: consumer.is_connected, lambda connected: not connected)
        assert await bench.count("failures") == 0
        away.clear()
        await handled(bench, "one")
    assert await bench.count("failures") == 0
    assert await bench.dead_letters() == []
