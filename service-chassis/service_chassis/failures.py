"""What is known of a message that did not go well: how often it failed, how often it killed its process.

Attempts are counted here, in our database, never in ``x-death``, which is off after a broker crash.
A *suspect* is a message that came back other than by our reject: a process died with it, or lost its
link. Its mark is committed before the body is touched, so that a body which kills the process is found
out: the broker's own delivery limit would hold it, and its neighbours, unreadable in the retry cycle
(docs/decisions.md, Retry).
"""

from sqlalchemy import Column, DateTime, Integer, Table, Text, case, delete, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from service_chassis.database import chassis_metadata

failures = Table(
    "failures",
    chassis_metadata,
    Column("queue", Text, primary_key=True),
    Column("message_id", Text, primary_key=True),
    Column("attempts", Integer, nullable=False),
    Column("error_type", Text, nullable=False),
    Column("error_place", Text, nullable=False),
    Column("failed_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

delivery_marks = Table(
    "delivery_marks",
    chassis_metadata,
    Column("queue", Text, primary_key=True),
    Column("message_id", Text, primary_key=True),
    Column("rejections", Integer, nullable=False),
    Column("times", Integer, nullable=False),
    Column("marked_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)


async def count_failure(session: AsyncSession, queue: str, message_id: str, error_type: str, error_place: str) -> int:
    """Add one failure and return how many the message has now."""
    statement = insert(failures).values(
        queue=queue, message_id=message_id, attempts=1, error_type=error_type, error_place=error_place
    )
    result = await session.execute(
        statement.on_conflict_do_update(
            index_elements=["queue", "message_id"],
            set_={
                "attempts": failures.c.attempts + 1,
                "error_type": error_type,
                "error_place": error_place,
                "failed_at": func.now(),
            },
        ).returning(failures.c.attempts)
    )
    return int(result.scalar_one())


async def mark_suspect(session: AsyncSession, queue: str, message_id: str, rejections: int) -> int:
    """Mark that a suspect is about to be handled; return how often it was, without a rejection in between."""
    statement = insert(delivery_marks).values(queue=queue, message_id=message_id, rejections=rejections, times=1)
    same = delivery_marks.c.rejections == statement.excluded.rejections
    result = await session.execute(
        statement.on_conflict_do_update(
            index_elements=["queue", "message_id"],
            set_={
                "times": case((same, delivery_marks.c.times + 1), else_=1),
                "rejections": statement.excluded.rejections,
                "marked_at": func.now(),
            },
        ).returning(delivery_marks.c.times)
    )
    return int(result.scalar_one())


async def forget(session: AsyncSession, queue: str, message_id: str) -> None:
    """Forget the failures and marks of a message that is over."""
    for table in (failures, delivery_marks):
        await session.execute(delete(table).where(table.c.queue == queue, table.c.message_id == message_id))
