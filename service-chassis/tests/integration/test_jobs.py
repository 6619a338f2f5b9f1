"""Of all processes one runs a job's round, and a failed round is not the last."""

import asyncio
import time

import pytest
from service_chassis import jobs
from service_chassis.database import make_engine
from service_chassis.jobs import RUNS, Job, forget_old_messages, run_job
from service_chassis.settings import DatabaseGroup

from .bench import Bench
from .fault_proxy import proxied
from .waiting import eventually, until


async def test_of_two_runners_one_runs(bench: Bench) -> None:
    running, most, rounds = 0, 0, 0
    entered, release = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        nonlocal running, most, rounds
        running, rounds = running + 1, rounds + 1
        most = max(most, running)
        entered.set()
        await release.wait()
        running -= 1

    left = RUNS.labels("shared", "left_to_another")
    before, stop = left._value.get(), asyncio.Event()
    engines = [make_engine(DatabaseGroup(database_url=bench.database.app_url), "test") for _ in range(2)]
    job = Job("shared", 0.02, work)
    runners = [asyncio.create_task(run_job(job, engine, stop)) for engine in engines]
    await asyncio.wait_for(entered.wait(), 10)
    await until(left._value.get, lambda count: count >= before + 3)
    assert (most, rounds) == (1, 1)
    release.set()
    await until(lambda: rounds, lambda count: count >= 3)
    stop.set()
    await asyncio.wait_for(asyncio.gather(*runners), 5)
    assert most == 1
    for engine in engines:
        await engine.dispose()


async def test_a_frozen_runner_loses_its_turn_and_breaks_its_work_off(bench: Bench) -> None:
    working, broken_off, done, stop = asyncio.Event(), asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def endless() -> None:
        working.set()
        try:
            await asyncio.Event().wait()
        finally:
            broken_off.set()

    async def other() -> None:
        done.set()

    async with proxied(bench.database.app_url) as hop:
        settings = {"database_idle_transaction_timeout": 2.0}
        frozen = make_engine(DatabaseGroup(database_url=hop.url, **settings), "frozen")
        lively = make_engine(DatabaseGroup(database_url=bench.database.app_url, **settings), "lively")
        left = RUNS.labels("frozen", "left_to_another")
        runners = [asyncio.create_task(run_job(Job("frozen", 0.1, endless), frozen, stop))]
        await asyncio.wait_for(working.wait(), 10)
        before = left._value.get()
        runners.append(asyncio.create_task(run_job(Job("frozen", 0.1, other), lively, stop)))
        await asyncio.sleep(0)
        began = time.monotonic()
        await until(lambda: left._value.get() - before, lambda _: time.monotonic() - began > 3)
        assert not done.is_set(), "its turn was lost although it was awake"
        hop.freeze()
        await asyncio.wait_for(done.wait(), 10)
        stop.set()
        hop.heal()
        await asyncio.wait_for(broken_off.wait(), 10)
        await asyncio.wait_for(asyncio.gather(*runners), 10)
        for engine in (frozen, lively):
            await engine.dispose()


async def test_a_failed_round_is_counted_and_the_next_one_comes(bench: Bench) -> None:
    rounds = 0

    async def work() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise ValueError

    failed, done = RUNS.labels("failing", "failed"), RUNS.labels("failing", "done")
    stop = asyncio.Event()
    engine = make_engine(DatabaseGroup(database_url=bench.database.app_url), "test")
    runner = asyncio.create_task(run_job(Job("failing", 0.02, work), engine, stop))
    await until(done._value.get)
    stop.set()
    await asyncio.wait_for(runner, 5)
    await engine.dispose()
    assert failed._value.get() == 1


async def test_a_round_that_hangs_is_broken_off_and_another_process_may_do_the_job(bench: Bench) -> None:
    hanging, broken_off, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        hanging.set()
        try:
            await asyncio.Event().wait()
        finally:
            broken_off.set()

    async def work() -> None:
        done.set()

    failed, stop = RUNS.labels("hanging", "failed"), asyncio.Event()
    engine = make_engine(DatabaseGroup(database_url=bench.database.app_url), "test")
    runners = [asyncio.create_task(run_job(Job("hanging", 3600, hang, deadline=0.5), engine, stop))]
    await asyncio.wait_for(hanging.wait(), 10)
    runners.append(asyncio.create_task(run_job(Job("hanging", 0.02, work), engine, stop)))
    await asyncio.wait_for(broken_off.wait(), 10)
    await asyncio.wait_for(done.wait(), 10)
    stop.set()
    await asyncio.wait_for(asyncio.gather(*runners), 5)
    await engine.dispose()
    assert failed._value.get() == 1


async def test_what_is_remembered_of_messages_is_forgotten_after_its_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "BATCH", 2)
    for table, values in (
        ("inbox", "'q', $1"),
        ("failures", "'q', $1, 1, 'T', 'p'"),
        ("delivery_marks", "'q', $1, 0, 1"),
    ):
        for name, days in (("old", 46), ("older", 47), ("oldest", 48), ("young", 44)):
            row = f"INSERT INTO {table} VALUES ({values}, now() - interval '{days} days')"  # noqa: S608 - names from above
            await bench.sql.execute(row, name)
    stop = asyncio.Event()
    engine = make_engine(DatabaseGroup(database_url=bench.database.app_url), "test")
    runner = asyncio.create_task(run_job(forget_old_messages(bench.sessions, 60), engine, stop))
    for table in ("inbox", "failures", "delivery_marks"):

        async def left(table: str = table) -> list[str]:
            rows = await bench.sql.fetch(f"SELECT message_id FROM {table}")  # noqa: S608 - names from above
            return [row["message_id"] for row in rows]

        await eventually(left, lambda ids: ids == ["young"])
    stop.set()
    await asyncio.wait_for(runner, 5)
    await engine.dispose()
