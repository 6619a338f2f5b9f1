"""Periodic jobs: one runner at a time, whatever the number of processes.

A job runs in the worker of the service that owns the data, under an advisory lock of that database;
a process that does not get the lock leaves the round to the one that has it. The lock is that of a transaction
which is kept awake while the job works: PostgreSQL ends it soon after the process is frozen or gone, and a
process that comes back too late finds its lock lost and breaks the round off. A round that hangs is broken off at
the job's deadline, so that neither it nor its lock keeps the job from being done.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import structlog
from prometheus_client import Counter
from sqlalchemy import CursorResult, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from service_chassis import telemetry
from service_chassis.database import Sessions
from service_chassis.inbox import RETENTION_DAYS

log = structlog.get_logger(__name__)

RUNS = Counter("job_runs_total", "Rounds of periodic jobs", ["job", "outcome"])

BATCH = 5000
"""Rows of one transaction of a job that goes through a table: a second's work at most."""

KEEP_S = 1.0
"""Less than any time after which PostgreSQL ends an idle transaction (`database_idle_transaction_timeout`)."""

DEADLINE_S = 900.0
"""What a round that commits as it goes may take: where it was broken off, the next one goes on."""

_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))")
_NO_LIMIT = text(
    "SELECT set_config(name, '0', true) FROM pg_settings WHERE name = 'transaction_timeout' AND setting <> '0'"
)
_KEEP = text("SELECT 1")


@dataclass(frozen=True)
class Job:
    """A piece of work done every ``interval`` seconds, in at most ``deadline``; ``work`` opens its own transactions."""

    name: str
    interval: float
    work: Callable[[], Awaitable[None]]
    deadline: float = DEADLINE_S


async def run_job(job: Job, engine: AsyncEngine, stop: asyncio.Event) -> None:
    """Run a job's rounds until ``stop``. A failed round is logged and counted, and the next one comes."""
    while not stop.is_set():
        try:
            async with asyncio.timeout(job.deadline):
                outcome = await _round(job, engine)
        except Exception as error:
            outcome = "failed"
            log.warning("job_failed", job=job.name, **telemetry.log_fields(error))
        RUNS.labels(job.name, outcome).inc()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(job.interval):
                await stop.wait()


async def _round(job: Job, engine: AsyncEngine) -> str:
    async with engine.begin() as lock:
        if not (await lock.execute(_TRY_LOCK, {"name": job.name})).scalar_one():
            return "left_to_another"
        await lock.execute(_NO_LIMIT)
        over = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_keep(lock, over), name=f"{job.name}-lock")
                await job.work()
                over.set()
        except ExceptionGroup as several:
            raise several.exceptions[0] from None
    return "done"


async def _keep(lock: AsyncConnection, over: asyncio.Event) -> None:
    """Keep the lock's transaction from being ended as idle; raise when it is lost, which breaks the work off."""
    while not over.is_set():
        await lock.execute(_KEEP)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KEEP_S):
                await over.wait()


def forget_old_messages(sessions: Sessions, interval: float) -> Job:
    """The job that drops inbox rows older than their retention, and the failures and marks of that age."""

    async def work() -> None:
        await in_batches(sessions, partial(_delete_old, "inbox", "received_at"))
        await in_batches(sessions, partial(_delete_old, "failures", "failed_at"))
        await in_batches(sessions, partial(_delete_old, "delivery_marks", "marked_at"))

    return Job("forget-old-messages", interval, work)


async def in_batches(sessions: Sessions, step: Callable[[AsyncSession, int], Awaitable[int]]) -> None:
    """Repeat a step on at most `BATCH` rows, each in a transaction of its own, until one finds fewer.

    What piled up while a job could not run would else be one statement, which never fits in its time.
    """
    at_most = done = BATCH
    while done == at_most:
        async with sessions.begin() as session:
            done = await step(session, at_most)


async def _delete_old(table: str, column: str, session: AsyncSession, at_most: int) -> int:
    old = f"SELECT ctid FROM {table} WHERE {column} < now() - make_interval(days => :days) LIMIT :at_most"  # noqa: S608 - our own names
    result = await session.execute(
        text(f"DELETE FROM {table} WHERE ctid = ANY(ARRAY({old}))"),  # noqa: S608 - our own names
        {"days": RETENTION_DAYS, "at_most": at_most},
    )
    return cast(CursorResult[Any], result).rowcount
