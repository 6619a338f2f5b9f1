"""The choosing loop: one per worker, woken in process, by NOTIFY and by a tick.

The tick finds what no event announces: an absence that ended, by the database's clock. A lost database
ends a round, never the loop.
"""

import asyncio
import contextlib
import time

import structlog
from prometheus_client import Counter, Gauge
from service_chassis import telemetry
from service_chassis.database import Sessions
from service_chassis.listening import listen
from service_chassis.pulse import Pulse

from assignment_worker import repository
from assignment_worker.use_cases.choose import Round, choose

log = structlog.get_logger(__name__)

CHOICES = Counter("assignment_choices_total", "Leads given to an attorney by the policy")
WAITS = Counter("assignment_waits_total", "Times that a lead was said to wait", ["reason"])
FAILED = Counter("assignment_failed_rounds_total", "Rounds of choosing that failed and were tried again")
WAITING = Gauge("assignment_waiting_leads", "Leads that nobody may take now")

RETRY_S = 1.0
MEASURE_S = 5.0


class Choosing:
    """The loop and its wake-up. ``run`` ends soon after ``stop`` is set."""

    def __init__(self, database_url: str, sessions: Sessions, worker: str, *, batch: int, tick: float) -> None:
        self._database_url = database_url
        self._sessions = sessions
        self._worker = worker
        self._batch = batch
        self._tick = tick
        self._wake = asyncio.Event()
        self._failure: str | None = None
        self._measured_at = -MEASURE_S
        self.pulses = {"choosing": Pulse(), "choosing-listen": Pulse()}
        """Of the loop, and of its being woken by the database."""

    def wake(self) -> None:
        """Have the loop look again: something was committed that may let it choose."""
        self._wake.set()

    async def check(self) -> None:
        """Raise RuntimeError while the last round of choosing failed."""
        if self._failure is not None:
            raise RuntimeError(self._failure)

    async def run(self, stop: asyncio.Event) -> None:
        """Choose until ``stop``."""
        tasks = [
            asyncio.create_task(
                listen(
                    self._database_url,
                    repository.CHANNEL,
                    self._worker,
                    self.wake,
                    stop,
                    self.pulses["choosing-listen"],
                ),
                name="choosing-listen",
            ),
            asyncio.create_task(self._wake_at(stop), name="choosing-stop"),
        ]
        try:
            while not stop.is_set():
                self._wake.clear()
                wait = await self._rounds(stop)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._wake.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _rounds(self, stop: asyncio.Event) -> float:
        """Choose until nothing is left to settle; return the seconds to wait for the next look."""
        try:
            while not stop.is_set():
                self.pulses["choosing"].beat()
                async with self._sessions.begin() as session:
                    done = await choose(session, self._worker, self._batch)
                self._account(done)
                if done.read < self._batch:
                    break
            await self._measure()
        except Exception as error:
            if self._failure != type(error).__name__:
                self._failure = type(error).__name__
                log.warning("choosing_failed", worker=self._worker, **telemetry.log_fields(error))
            FAILED.inc()
            return RETRY_S
        self._failure = None
        return self._tick

    def _account(self, done: Round) -> None:
        CHOICES.inc(done.assigned)
        for reason, count in done.waiting.items():
            WAITS.labels(reason).inc(count)
        if done.changed:
            log.info("chosen", worker=self._worker, assigned=done.assigned, waiting=dict(done.waiting))

    async def _measure(self) -> None:
        """Set the gauge, now and then: counting at every wake-up would slow a long queue down."""
        if time.monotonic() - self._measured_at < MEASURE_S:
            return
        self._measured_at = time.monotonic()
        async with self._sessions.begin() as session:
            WAITING.set(await repository.count_waiting(session))

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self.wake()
