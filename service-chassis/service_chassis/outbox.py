"""The outbox: an event is a row in the transaction that makes it true (docs/design.md, invariants 1 and 2).

`add` rides the caller's session: no I/O of its own, no commit. The relay deletes a row only after the
broker confirmed the message without returning it.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import uuid_utils
from shared_schemas.events import Event
from shared_schemas.topology import EXCHANGE
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    delete,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from service_chassis.database import chassis_metadata
from service_chassis.telemetry import current_trace_id, traceparent_of

CHANNEL = "outbox"
"""The NOTIFY channel that wakes relays."""

outbox = Table(
    "outbox",
    chassis_metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("event_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("exchange", Text, nullable=False),
    Column("routing_key", Text, nullable=False),
    Column("correlation_id", Text, nullable=False),
    Column("headers", JSONB, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("lead_id", Uuid, nullable=True),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_attempt_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("parked_at", DateTime(timezone=True), nullable=True),
    Column("error", Text, nullable=True),
    Index("ix_outbox_due", "next_attempt_at", "id", postgresql_where=text("parked_at IS NULL")),
    Index("ix_outbox_lead_id", "lead_id"),
)

_INSERT = insert(outbox)
_INSERT_AND_WAKE = insert(outbox).returning(func.pg_notify(CHANNEL, ""))
_WAKE = select(func.pg_notify(CHANNEL, ""))


def new_event_id() -> UUID:
    """A time-ordered id (UUIDv7, RFC 9562). Never used for what strangers see: it tells the time."""
    return UUID(str(uuid_utils.uuid7()))


async def add(session: AsyncSession, event: Event, *, correlation_id: str | None = None) -> UUID:
    """Say ``event`` when the caller's transaction commits, and wake the relay. Returns the event id."""
    event_id = new_event_id()
    await session.execute(_INSERT_AND_WAKE, _row(event, event_id, correlation_id))
    return event_id


async def add_all(session: AsyncSession, events: Iterable[tuple[Event, str | None]]) -> None:
    """Say many (event, correlation id) at once: one statement, one wake-up."""
    rows = [_row(event, new_event_id(), correlation_id) for event, correlation_id in events]
    if rows:
        await session.execute(_INSERT, rows)
        await session.execute(_WAKE)


async def add_addressed(
    session: AsyncSession,
    *,
    queue: str,
    message_id: str,
    message_type: str,
    correlation_id: str,
    headers: Mapping[str, str],
    body: bytes,
    lead_id: UUID | None,
) -> None:
    """Send raw bytes to one queue through the default exchange: only that hearer hears it again."""
    row = {
        "event_id": message_id,
        "type": message_type,
        "exchange": "",
        "routing_key": queue,
        "correlation_id": correlation_id,
        "headers": dict(headers),
        "body": body,
        "lead_id": lead_id,
    }
    await session.execute(_INSERT_AND_WAKE, row)


async def forget_lead(session: AsyncSession, lead_id: UUID) -> int:
    """Delete every unsent event of a lead (erasure). Returns how many."""
    rows = await session.execute(delete(outbox).where(outbox.c.lead_id == lead_id).returning(outbox.c.id))
    return len(rows.all())


def _row(event: Event, event_id: UUID, correlation_id: str | None) -> dict[str, Any]:
    trace_id = correlation_id or current_trace_id()
    return {
        "event_id": str(event_id),
        "type": event.type,
        "exchange": EXCHANGE,
        "routing_key": event.routing_key(),
        "correlation_id": trace_id,
        "headers": {"traceparent": traceparent_of(trace_id)},
        "body": event.model_dump_json().encode(),
        "lead_id": getattr(event, "lead_id", None),
    }
