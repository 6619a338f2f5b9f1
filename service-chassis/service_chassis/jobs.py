"""Periodic jobs: one runner at a time, whatever the number of processes.

A job runs in the worker of the service that owns the data, under an advisory lock of that database;
a process that does not get the lock leaves the round to the one that has it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from prometheus_client import Counter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from service_chassis import telemetry
from service_chassis.database import Sessions
from service_chassis.inbox import RETENTION_DAYS

log = structlog.get_logger(__name__)

RUNS = Counter("job_runs_total", "Rounds of periodic jobs", ["job", "outcome"])

_TRY_LOCK = text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))")
_UNLOCK = text("SELECT pg_advisory_unlock(hashtextextended(:name, 0))")


@dataclass(frozen=True)
class Job:
    """A piece of work done every ``interval`` seconds; ``work`` opens its own transactions."""

    name: str
    interval: float
    work: Callable[[], Awaitable[None]]


async def run_job(job: Job, engine: AsyncEngine, stop: asyncio.Event) -> None:
    """Run a job's rounds until ``stop``. A failed round is logged and counted, and the next one comes."""
    while not stop.is_set():
        try:
            outcome = await _round(job, engine)
        except Exception as error:
            outcome = "failed"
            log.warning("job_failed", job=job.name, **telemetry.log_fields(error))
        RUNS.labels(job.name, outcome).inc()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(job.interval):
                await stop.wait()


async def _round(job: Job, engine: AsyncEngine) -> str:
    async with engine.connect() as connection:
        autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
        if not (await autocommit.execute(_TRY_LOCK, {"name": job.name})).scalar_one():
            return "left_to_another"
        try:
            await job.work()
        finally:
            await autocommit.execute(_UNLOCK, {"name": job.name})
    return "done"


def forget_old_messages(sessions: Sessions, interval: float) -> Job:
    """The job that drops inbox rows older than their retention, and the failures and marks of that age."""

    async def work() -> None:
        async with sessions.begin() as session:
            await _delete_old(session, "inbox", "received_at")
            await _delete_old(session, "failures", "failed_at")
            await _delete_old(session, "delivery_marks", "marked_at")

    return Job("forget-old-messages", interval, work)


async def _delete_old(session: AsyncSession, table: str, column: str) -> None:
    await session.execute(
        text(f"DELETE FROM {table} WHERE {column} < now() - make_interval(days => :days)"),  # noqa: S608 - our own names
        {"days": RETENTION_DAYS},
    )
