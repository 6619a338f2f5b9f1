"""The inbox: an event id has its effect once (docs/design.md, invariant 3).

The claim is part of the transaction that makes the effect: rolled back together, committed together.
Rows are kept 45 days, longer than a dead letter can be replayed.
"""

from sqlalchemy import Column, DateTime, Index, Table, Text, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from service_chassis.database import chassis_metadata

inbox = Table(
    "inbox",
    chassis_metadata,
    Column("queue", Text, primary_key=True),
    Column("message_id", Text, primary_key=True),
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index("ix_inbox_received_at", "received_at"),
)

RETENTION_DAYS = 45

_CLAIM = insert(inbox).on_conflict_do_nothing().returning(inbox.c.message_id)


async def claim(session: AsyncSession, queue: str, message_id: str) -> bool:
    """Claim a message for the caller's transaction.

    Returns False when it was handled before. While another transaction holds the claim this waits for
    its end, so that two copies delivered at once cannot both act.
    """
    result = await session.execute(_CLAIM, {"queue": queue, "message_id": message_id})
    return result.first() is not None
