"""Any number of workers at once: every lead once, loads level, capacities kept, and all of them take part."""

import asyncio
import contextlib
import functools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
from assignment_worker import repository
from assignment_worker.choosing import Choosing
from assignment_worker.models import Attorney
from service_chassis import database
from shared_schemas.events import Event
from sqlalchemy import update

from .bench import Bench

LEADS = 1_000
NEVER = 3_600.0
DEADLINE_S = 60.0


@contextlib.asynccontextmanager
async def choosers(bench: Bench, count: int, *, batch: int = 200, tick: float = NEVER) -> AsyncIterator[list[Choosing]]:
    """That many choosing loops, each with connections of its own; all are at rest when this begins."""
    stop = asyncio.Event()
    loops = [
        Choosing(bench.app_url, bench.new_sessions(), f"worker-{number}", batch=batch, tick=tick)
        for number in range(count)
    ]
    tasks = [asyncio.create_task(loop.run(stop)) for loop in loops]
    try:
        await eventually(functools.partial(listening, bench, count))
        yield loops
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def listening(bench: Bench, count: int) -> bool:
    connection = await asyncpg.connect(bench.app_url)
    try:
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%listening' AND query LIKE 'LISTEN%'"
        )
        return bool(await connection.fetchval(query) == count)
    finally:
        await connection.close()


async def eventually(holds: Callable[[], Awaitable[bool]], seconds: float = DEADLINE_S) -> None:
    """Poll until it holds; fail at the deadline with what was last seen."""
    seen = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not (seen := await holds()):  # noqa: ASYNC110 - another process' rows have no event to await
                await asyncio.sleep(0.02)
            return
    pytest.fail(f"not within {seconds} s; last seen: {seen!r}")


async def register_in_parallel(bench: Bench, count: int) -> None:
    events = iter([bench.registered() for _ in range(count)])

    async def one_handler() -> None:
        for event in events:
            await bench.hear(event)

    await asyncio.gather(*(one_handler() for _ in range(8)))


@pytest.mark.parametrize("workers", [2, 4])
async def test_a_thousand_leads_are_spread_evenly_and_every_worker_chooses(bench: Bench, workers: int) -> None:
    for _ in range(10):
        await bench.attorney()
    await register_in_parallel(bench, LEADS // 2)
    async with choosers(bench, workers, batch=50):  # a backlog is shared: whoever waits for a turn gets one
        await register_in_parallel(bench, LEADS - LEADS // 2)
        await eventually(functools.partial(settled, bench, LEADS))
    loads = await bench.open_leads()
    assert max(loads.values()) - min(loads.values()) <= 1
    by_worker = Counter(assignment.worker for assignment in await bench.assignments())
    assert len(by_worker) == workers, by_worker
    assert by_worker.total() == LEADS


async def settled(bench: Bench, assigned: int) -> bool:
    return len(await bench.assignments()) == assigned


async def test_capacities_are_filled_exactly_by_four_workers(bench: Bench) -> None:
    for _ in range(10):
        await bench.attorney(capacity=20)
    async with choosers(bench, 4, batch=50):
        await register_in_parallel(bench, 260)
        await eventually(lambda: waiting(bench, 60))
    assert set((await bench.open_leads()).values()) == {20}


async def waiting(bench: Bench, count: int) -> bool:
    async with bench.sessions() as session:
        return await repository.count_waiting(session) == count


async def test_a_commit_elsewhere_wakes_a_loop_by_notify(bench: Bench) -> None:
    await bench.attorney()
    async with choosers(bench, 1):
        for number in (1, 2, 3):  # the start itself wakes a loop twice: the third lead is found by NOTIFY alone
            await bench.hear(bench.registered())
            await eventually(functools.partial(settled, bench, number), seconds=5)
    assert len(await bench.assignments()) == 3


@pytest.mark.parametrize("freed_by", ["close", "erasure", "capacity"])
async def test_a_freed_place_wakes_a_loop_by_notify(bench: Bench, freed_by: str) -> None:
    attorney = await bench.attorney(capacity=1)
    owned = bench.registered()
    await bench.hear(owned)
    await bench.settle()
    freeing: dict[str, Event] = {
        "close": bench.closed(owned.lead_id, 1),
        "erasure": bench.erased(owned.lead_id, 1),
        "capacity": bench.attorney_changed(attorney, capacity=2),
    }
    async with choosers(bench, 1):
        for number in (1, 2, 3):  # as above: the third wait is said, and the loop at rest, long after its start
            await bench.hear(bench.registered())
            await eventually(functools.partial(waiting, bench, number), seconds=10)
        await bench.hear(freeing[freed_by])
        await eventually(functools.partial(waiting, bench, 2), seconds=10)
    assert await bench.open_leads() == {attorney: 2 if freed_by == "capacity" else 1}


async def test_the_tick_finds_what_no_event_announces(bench: Bench) -> None:
    attorney = await bench.attorney(capacity=0)
    async with choosers(bench, 1, tick=0.2):
        await bench.hear(bench.registered())
        await eventually(lambda: waiting(bench, 1))
        async with bench.sessions.begin() as session:  # behind the service's back: nobody is notified
            await session.execute(update(Attorney).values(capacity=1))
        await eventually(lambda: settled(bench, 1), seconds=5)
    assert await bench.open_leads() == {attorney: 1}


async def test_a_lost_database_ends_no_loop(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "TEST_AFTER_IDLE_S", 0.0)  # as after an outage longer than this one
    attorney = await bench.attorney()
    async with choosers(bench, 2) as loops:
        async with database_away(bench):
            for loop in loops:
                loop.wake()
            await eventually(functools.partial(all_failing, loops))
        await eventually(functools.partial(listening, bench, 2))
        await bench.hear(bench.registered())
        await eventually(functools.partial(settled, bench, 1))
        assert not await all_failing(loops)
    assert await bench.open_leads() == {attorney: 1}


@contextlib.asynccontextmanager
async def database_away(bench: Bench) -> AsyncIterator[None]:
    """End every connection of the application role and let nobody in until the end of the block."""
    owner = await asyncpg.connect(bench.owner_url)
    application = await asyncpg.connect(bench.app_url)
    name = await owner.fetchval("SELECT quote_ident(current_database())")
    await owner.execute(f"ALTER DATABASE {name} WITH CONNECTION LIMIT 0")
    await application.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
    )
    await application.close()
    yield
    await owner.execute(f"ALTER DATABASE {name} WITH CONNECTION LIMIT -1")
    await owner.close()


async def all_failing(loops: list[Choosing]) -> bool:
    outcomes = await asyncio.gather(*(loop.check() for loop in loops), return_exceptions=True)
    return all(isinstance(outcome, RuntimeError) for outcome in outcomes)
