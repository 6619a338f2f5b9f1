"""Hearing one queue: one dispatch function that decides what happens to each message.

    parse -> claim the inbox, make the effect, write outgoing events: one transaction -> ack

- A handler that takes too long: the message's fault, unless a probe of the database fails at that moment.
- A dependency away: reject (the broker brings it back after its delay), stop consuming until the
  database answers, never counted against the message.
- Lost against another transaction: tried again in place, three times; then as if the database were away.
- A statement that PostgreSQL ended for its time: tried once more in place, then the message's fault.
- Any other error: counted in `failures`; at the limit the message is dead-lettered and acked.
- A message that cannot be understood: dead-lettered at once.
- A suspect (see `failures`): handled alone after a committed mark; the fourth mark is the last.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from faststream.exceptions import RejectMessage
from faststream.rabbit import RabbitMessage
from shared_schemas.events import Event, MessageDeadLettered
from shared_schemas.topology import Queue
from sqlalchemy.ext.asyncio import AsyncSession

from service_chassis import failures, inbox, outbox, telemetry
from service_chassis.database import Sessions
from service_chassis.envelope import BODY_LIMIT_BYTES, Envelope, PoisonError
from service_chassis.settings import ConsumerGroup
from service_chassis.transient import (
    HandlerDeadlineError,
    error_place,
    error_type,
    is_collision,
    is_dependency_away,
    is_statement_cancelled,
)

log = structlog.get_logger(__name__)

Handler = Callable[[AsyncSession, Any, Envelope], Awaitable[None]]
"""Makes the effect of one event inside the given transaction; writes, never commits."""

DeadLetterSink = Callable[[AsyncSession, MessageDeadLettered], Awaitable[None]]
"""Puts a given-up message on record inside the given transaction."""

Probe = Callable[[], Awaitable[None]]
"""Returns when the database answers, raises what its driver raises when it does not."""

TRIES_IN_PLACE = 3
PROBE_S = 5.0
LAST_MARK = 4


async def say_dead_letter(session: AsyncSession, dead: MessageDeadLettered) -> None:
    """The usual sink: intake-api keeps the record, and hears of it through the outbox."""
    await outbox.add(session, dead)


@dataclass(frozen=True)
class Subscription:
    """What a service does with a queue: a handler per event, all visible on one screen.

    ``after_commit`` runs when a message had its effect (it wakes loops of this process).
    """

    queue: Queue
    handlers: Mapping[type[Event], Handler]
    dead_letter: DeadLetterSink = say_dead_letter
    after_commit: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        """Refuse a queue with an event nobody handles, or a handler for an event that never comes."""
        if set(self.queue.events) != set(self.handlers):
            raise ValueError(f"{self.queue.name}: bound events and handlers differ")


class QueueHearer:
    """Decides for every message of one queue. ``on_database_away`` is called when consuming must pause."""

    def __init__(
        self,
        subscription: Subscription,
        sessions: Sessions,
        settings: ConsumerGroup,
        probe: Probe,
        on_database_away: Callable[[], None],
    ) -> None:
        self._subscription = subscription
        self._queue = subscription.queue.name
        self._events = {event.type: event for event in subscription.queue.events}
        self._sessions = sessions
        self._settings = settings
        self._probe = probe
        self._on_database_away = on_database_away
        self._alone = asyncio.Lock()

    async def hear(self, message: RabbitMessage) -> None:
        """Handle one delivery. Returns to ack, raises RejectMessage to have it brought back later."""
        envelope = Envelope.of(self._queue, message)
        with (
            telemetry.traced(envelope.trace_id, queue=self._queue, message_id=envelope.message_id),
            telemetry.HANDLING.labels(self._queue).time(),
        ):
            try:
                if envelope.is_suspect:
                    async with self._alone:
                        await self._hear_suspect(envelope)
                else:
                    await self._understand(envelope)
            except RejectMessage:
                raise
            except Exception as error:
                # What reaches this point failed while a failure was being recorded: bring it back later.
                self._note_away(error)
                log.warning("message_rejected", **telemetry.log_fields(error))
                raise RejectMessage from error

    async def _hear_suspect(self, envelope: Envelope) -> None:
        async with self._sessions.begin() as session:
            times = await failures.mark_suspect(session, self._queue, envelope.message_id, envelope.rejections)
        if times >= LAST_MARK:
            await self._give_up(envelope, times, "ProcessDied", "unknown")
            return
        await self._understand(envelope)

    async def _understand(self, envelope: Envelope) -> None:
        try:
            event = envelope.parse(self._events)
        except PoisonError as poison:
            await self._give_up(envelope, 1, f"Poison:{poison.reason}", error_place(poison))
            return
        try:
            await self._make_effect(event, envelope)
        except Exception as error:
            if await self._is_away(error) or is_collision(error):
                self._on_database_away()
                self._count("rejected_away")
                log.warning("dependency_away", **telemetry.log_fields(error))
                raise RejectMessage from error
            await self._count_failure(envelope, error)

    async def _is_away(self, error: Exception) -> bool:
        if not isinstance(error, HandlerDeadlineError):
            return is_dependency_away(error)
        try:
            async with asyncio.timeout(PROBE_S):
                await self._probe()
        except Exception:  # whatever it says: it does not answer
            return True
        return False

    async def _make_effect(self, event: Event, envelope: Envelope) -> None:
        handler = self._subscription.handlers[type(event)]
        for tries_left in reversed(range(TRIES_IN_PLACE + 1)):
            deadline = asyncio.timeout(self._settings.consumer_handler_timeout)
            try:
                async with deadline, self._sessions.begin() as session:
                    is_first = await inbox.claim(session, self._queue, envelope.message_id)
                    if is_first:
                        await handler(session, event, envelope)
                    if envelope.is_redelivered:  # a repeat too: its mark must not add up with those of other copies
                        await failures.forget(session, self._queue, envelope.message_id)
                break
            except Exception as error:
                if deadline.expired():
                    raise HandlerDeadlineError from None
                is_first_try = tries_left == TRIES_IN_PLACE
                if not ((tries_left and is_collision(error)) or (is_first_try and is_statement_cancelled(error))):
                    raise
        self._count("handled" if is_first else "repeated")
        if is_first and self._subscription.after_commit is not None:
            self._subscription.after_commit()

    async def _count_failure(self, envelope: Envelope, error: Exception) -> None:
        place = error_place(error)
        async with self._sessions.begin() as session:
            attempts = await failures.count_failure(session, self._queue, envelope.message_id, error_type(error), place)
        if attempts >= self._settings.consumer_max_attempts:
            await self._give_up(envelope, attempts, error_type(error), place)
            return
        self._count("rejected_failed")
        log.warning("message_failed", attempts=attempts, **telemetry.log_fields(error))
        raise RejectMessage from error

    async def _give_up(self, envelope: Envelope, attempts: int, kind: str, place: str) -> None:
        dead = MessageDeadLettered(
            queue=self._queue,
            message_id=envelope.message_id if envelope.has_own_id else None,
            message_type=envelope.type or None,
            headers=envelope.headers,
            correlation_id=telemetry.current_trace_id(),
            lead_id=envelope.lead_id() if kind != "ProcessDied" else None,
            attempts=attempts,
            error_type=kind,
            error_place=place,
            body=envelope.body[:BODY_LIMIT_BYTES],
            body_truncated=len(envelope.body) > BODY_LIMIT_BYTES,
            body_sha256=envelope.body_sha256(),
        )
        async with self._sessions.begin() as session:
            await self._subscription.dead_letter(session, dead)
            await failures.forget(session, self._queue, envelope.message_id)
        self._count("dead_lettered")
        log.error("message_dead_lettered", attempts=attempts, error_type=kind, error_place=place)

    def _note_away(self, error: Exception) -> None:
        if is_dependency_away(error):
            self._on_database_away()

    def _count(self, outcome: str) -> None:
        telemetry.HANDLED.labels(self._queue, outcome).inc()
