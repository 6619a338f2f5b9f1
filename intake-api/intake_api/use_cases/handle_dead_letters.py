"""Dead letters: see them, send them again to the queue that failed, or discard them with a reason.

A replay is an outbox row addressed to that one queue with the message's own id, type, headers and raw
bytes: only the hearer that failed hears it again. Its inbox claim was rolled back with its failure, so it
has its effect once, however often it is replayed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service_chassis import outbox
from service_chassis.database import Sessions
from service_chassis.telemetry import current_trace_id
from sqlalchemy import Select, and_, func, not_, select
from sqlalchemy.ext.asyncio import AsyncSession

from intake_api.exceptions import DeadLetterNotFoundError, DeadLetterNotOpenError, DeadLetterNotReplayableError
from intake_api.models import DeadLetter

OPEN, REPLAYED, DISCARDED = "open", "replayed", "discarded"
REPLAY_LIMIT = 1000


@dataclass(frozen=True)
class DeadLetterFilter:
    """Which dead letters are meant; what is None does not narrow."""

    status: str | None = None
    queue: str | None = None
    message_type: str | None = None
    lead_id: UUID | None = None

    def apply(self, query: Select[DeadLetter]) -> Select[DeadLetter]:
        """Narrow a query."""
        for column, value in (
            (DeadLetter.status, self.status),
            (DeadLetter.queue, self.queue),
            (DeadLetter.message_type, self.message_type),
            (DeadLetter.lead_id, self.lead_id),
        ):
            if value is not None:
                query = query.where(column == value)
        return query


async def list_dead_letters(
    session: AsyncSession, chosen: DeadLetterFilter, *, limit: int, offset: int
) -> tuple[Sequence[DeadLetter], int]:
    """Latest failures first, and how many there are in all."""
    query = chosen.apply(select(DeadLetter))
    total = await session.scalar(select(func.count()).select_from(query.subquery()))
    page = query.order_by(DeadLetter.last_at.desc(), DeadLetter.id).limit(limit).offset(offset)
    return (await session.scalars(page)).all(), int(total or 0)


async def find_dead_letter(session: AsyncSession, dead_letter_id: UUID, *, lock: bool = False) -> DeadLetter:
    """Read (or lock) one. Raises DeadLetterNotFoundError."""
    found = await session.get(DeadLetter, dead_letter_id, with_for_update=lock or None, populate_existing=lock)
    if found is None:
        raise DeadLetterNotFoundError
    return found


async def replay_dead_letter(sessions: Sessions, dead_letter_id: UUID, actor: str) -> DeadLetter:
    """Send one again. One that is not open is left as it is.

    Raises DeadLetterNotFoundError, DeadLetterNotReplayableError.
    """
    async with sessions.begin() as session:
        row = await find_dead_letter(session, dead_letter_id, lock=True)
        problem = _problem(row)
        if problem is not None:
            raise DeadLetterNotReplayableError(problem)
        if row.status == OPEN:
            await _replay(session, row, actor)
            await session.flush()
            await session.refresh(row)
    return row


async def replay_dead_letters(
    sessions: Sessions, chosen: DeadLetterFilter, actor: str, failed_before: datetime | None = None
) -> tuple[int, int, datetime]:
    """Send all open ones that are meant again (at most `REPLAY_LIMIT`).

    Returns how many went, how many are open and cannot go, and ``failed_before`` (now, where none is given): with it
    the next call leaves out what has failed again meanwhile, and the calls come to an end.
    """
    async with sessions.begin() as session:
        until: datetime = failed_before or (await session.execute(select(func.now()))).scalar_one()
        query = chosen.apply(select(DeadLetter)).where(DeadLetter.status == OPEN, DeadLetter.last_at <= until)
        found = await session.scalars(
            query.where(_REPLAYABLE).order_by(DeadLetter.first_at).limit(REPLAY_LIMIT).with_for_update(skip_locked=True)
        )
        rows = found.all()
        for row in rows:
            await _replay(session, row, actor)
        left = await session.scalar(select(func.count()).select_from(query.where(not_(_REPLAYABLE)).subquery()))
    return len(rows), int(left or 0), until


async def discard_dead_letter(sessions: Sessions, dead_letter_id: UUID, actor: str, reason: str) -> DeadLetter:
    """Close an open one for good, with the reason on record.

    Raises DeadLetterNotFoundError, DeadLetterNotOpenError (one on its way again, or discarded before).
    """
    async with sessions.begin() as session:
        row = await find_dead_letter(session, dead_letter_id, lock=True)
        if row.status != OPEN:
            raise DeadLetterNotOpenError(row.status)
        row.status, row.resolved_by, row.resolution = DISCARDED, actor, reason
        row.resolved_at = func.now()
        await session.flush()
        await session.refresh(row)
    return row


_REPLAYABLE = and_(
    not_(DeadLetter.body_truncated),
    DeadLetter.body != b"",
    DeadLetter.message_id.is_not(None),
    DeadLetter.message_type.is_not(None),
)
"""The rows without a `_problem`: those with one must not use up `REPLAY_LIMIT`."""


def _problem(row: DeadLetter) -> str | None:
    if row.body_truncated:
        return "its body was too large to keep whole"
    if not row.body:
        return "it has no body: none came with it, or its lead was erased"
    if row.message_id is None or row.message_type is None:
        return "it came without a message id or type and would be dead again"
    return None


async def _replay(session: AsyncSession, row: DeadLetter, actor: str) -> None:
    await outbox.add_addressed(
        session,
        queue=row.queue,
        message_id=row.message_id or "",
        message_type=row.message_type or "",
        correlation_id=row.correlation_id or current_trace_id(),
        headers={str(key): str(value) for key, value in row.headers.items()},
        body=row.body,
        lead_id=row.lead_id,
    )
    row.status, row.resolved_by, row.resolution = REPLAYED, actor, "replayed"
    row.resolved_at = func.now()
