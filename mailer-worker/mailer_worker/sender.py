"""The sender: the one loop in which every attempt is made, as many at once as its settings say.

Woken in process, by NOTIFY and by its tick. It ends when what is in flight has ended, or its grace is over.
"""

import asyncio
import contextlib
import time
from uuid import UUID

import structlog
from service_chassis import telemetry
from service_chassis.database import Sessions
from service_chassis.pulse import Pulse
from sqlalchemy import func, select

from mailer_worker import metrics
from mailer_worker.attempt import run_attempt
from mailer_worker.circuit import Circuit
from mailer_worker.mail import MailWriter
from mailer_worker.mail_sender import MailSender, RelayAway
from mailer_worker.models import IS_WAITING, Delivery
from mailer_worker.settings import MailerSettings
from mailer_worker.use_cases.await_relay import await_relay
from mailer_worker.use_cases.claim_deliveries import DUE, Attempt, claim_deliveries
from mailer_worker.use_cases.erase_lead import finish_erasures
from mailer_worker.use_cases.settle_attempt import recover_lost

log = structlog.get_logger(__name__)

AWAY_BATCH = 200
MEASURE_S = 5.0
STALLED_S = 60.0


class Sender:
    """Sends due deliveries until told to stop."""

    def __init__(
        self, sessions: Sessions, mail_sender: MailSender, writer: MailWriter, settings: MailerSettings
    ) -> None:
        self._sessions = sessions
        self._mail_sender = mail_sender
        self._writer = writer
        self._settings = settings
        self._circuit = Circuit(settings.circuit_probe_interval)
        self._wake = asyncio.Event()
        self._running: dict[asyncio.Task[None], UUID] = {}
        self._probe: asyncio.Task[None] | None = None
        self._turned_at = time.monotonic()
        self.pulse = Pulse()
        self._measured_at = 0.0
        self._cleaned_at = -settings.sender_tick

    def wake(self) -> None:
        """Something may be due."""
        self._wake.set()

    async def check(self) -> None:
        """Raise RuntimeError when the loop has had no good turn for a minute."""
        if time.monotonic() - self._turned_at > STALLED_S:
            raise RuntimeError("the sender has had no good turn")

    async def run(self, stop: asyncio.Event) -> None:
        """Send until ``stop``, through every outage of the database and of the relay."""
        stopper = asyncio.create_task(self._wake_at(stop), name="sender-stop")
        try:
            while not stop.is_set():
                self._wake.clear()
                pause = await self._turn()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
        finally:
            stopper.cancel()
            await self._finish()

    async def _turn(self) -> float:
        """Do what can be done now; return the seconds until the next look."""
        self.pulse.beat()
        tick = self._settings.sender_tick
        try:
            await self._clean_up()
            if self._circuit.is_open:
                self._look_for_relay()
                async with self._sessions.begin() as session:
                    deferred = await await_relay(session, AWAY_BATCH)
                pause = 0.0 if deferred == AWAY_BATCH else min(tick, self._circuit.seconds_to_probe() or tick)
            else:
                await self._begin_attempts()
                pause = tick
            await self._measure()
        except Exception as error:
            log.warning("sender_turn_failed", **telemetry.log_fields(error))
            return tick
        self._turned_at = time.monotonic()
        return pause

    async def _clean_up(self) -> None:
        """Take back lost attempts and end erasures: once a tick, not at every wake-up."""
        if time.monotonic() - self._cleaned_at < self._settings.sender_tick:
            return
        async with self._sessions.begin() as session:
            lost = await recover_lost(session, self._settings, self._running.values())
            await finish_erasures(session)
        self._cleaned_at = time.monotonic()
        if lost:
            log.warning("attempts_lost", count=lost)

    async def _begin_attempts(self) -> None:
        while free := self._settings.sender_concurrency - len(self._running):
            async with self._sessions.begin() as session:
                attempts = await claim_deliveries(session, self._writer, self._settings, free)
            for attempt in attempts:
                task = asyncio.create_task(self._run(attempt), name=f"attempt-{attempt.delivery_id}")
                self._running[task] = attempt.delivery_id
                task.add_done_callback(self._ended)
            if not attempts:
                break

    async def _run(self, attempt: Attempt) -> None:
        outcome = await run_attempt(attempt, self._sessions, self._mail_sender, self._settings)
        if isinstance(outcome, RelayAway) and self._circuit.open():
            log.error("relay_away", stage=outcome.stage, code=outcome.code)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("attempt_task_died", **telemetry.log_fields(error))
        self.wake()

    def _look_for_relay(self) -> None:
        if (self._probe is None or self._probe.done()) and not self._circuit.seconds_to_probe():
            self._probe = asyncio.create_task(self._probe_relay(), name="probe-relay")

    async def _probe_relay(self) -> None:
        if await self._mail_sender.probe():
            self._circuit.close()
            log.info("relay_back")
        else:
            self._circuit.probe_failed()
        self.wake()

    async def _finish(self) -> None:
        """Let what is in flight end; after the grace, cut it and have it recorded as far as it came."""
        if self._probe is not None:
            self._probe.cancel()
        if self._running:
            _done, late = await asyncio.wait(self._running, timeout=self._settings.sender_grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._mail_sender.close()

    async def _measure(self) -> None:
        if time.monotonic() - self._measured_at < MEASURE_S:
            return
        self._measured_at = time.monotonic()
        statement = select(func.count(), func.count().filter(DUE)).select_from(Delivery).where(IS_WAITING)
        async with self._sessions() as session:
            counts = (await session.execute(statement)).one()
        metrics.WAITING.set(counts[0])
        metrics.DUE.set(counts[1])

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self.wake()
