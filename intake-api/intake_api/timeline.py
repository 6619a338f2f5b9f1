"""The timeline of a lead: rows written by the handler of each event, never twice, without personal data."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from service_chassis.envelope import Envelope
from service_chassis.outbox import new_event_id
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from intake_api.models import TimelineEntry


def said_at(envelope: Envelope) -> datetime | None:
    """When an event was said, to the millisecond: its id tells (UUIDv7, RFC 9562 s. 5.7).

    AMQP's own timestamp has whole seconds, and would put an answer before what it answers.
    """
    try:
        event_id = UUID(envelope.message_id)
    except ValueError:
        return envelope.timestamp
    return datetime.fromtimestamp((event_id.int >> 80) / 1000, UTC) if event_id.version == 7 else envelope.timestamp


async def is_recorded(session: AsyncSession, lead_id: UUID, occurrence: str) -> bool:
    """Whether the lead has a row of this ``occurrence``."""
    found = select(TimelineEntry.id).where(TimelineEntry.lead_id == lead_id, TimelineEntry.occurrence == occurrence)
    return await session.scalar(found) is not None


async def record(
    session: AsyncSession,
    lead_id: UUID,
    type_: str,
    *,
    actor: str,
    detail: dict[str, Any],
    occurrence: str | None = None,
    event_id: str | None = None,
    at: datetime | None = None,
) -> None:
    """Add a row unless this ``occurrence`` of the lead has one.

    ``at`` is the event's own time (default: now, by the database). Without ``occurrence`` the row is its own.
    """
    own_id = event_id or str(new_event_id())
    values: dict[str, Any] = {
        "lead_id": lead_id,
        "at": at or func.clock_timestamp(),
        "type": type_,
        "actor": actor,
        "event_id": own_id,
        "occurrence": occurrence or f"{type_}:{own_id}",
        "detail": detail,
    }
    await session.execute(
        insert(TimelineEntry).values(values).on_conflict_do_nothing(index_elements=["lead_id", "occurrence"])
    )
