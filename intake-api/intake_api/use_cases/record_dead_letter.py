"""Put a given-up message on record: a failure belongs to a lead, not to a queue."""

import hashlib
from uuid import uuid4

from shared_schemas.events import MessageDeadLettered
from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from intake_api.models import DeadLetter


async def record_dead_letter(session: AsyncSession, dead: MessageDeadLettered) -> None:
    """Keep the message raw, one row per queue and message; a new failure of a known one reopens its row."""
    said = {
        "message_id": dead.message_id,
        "message_type": dead.message_type,
        "headers": dead.headers,
        "correlation_id": dead.correlation_id,
        "lead_id": dead.lead_id,
        "attempts": dead.attempts,
        "error_type": dead.error_type,
        "error_place": dead.error_place,
        "body": dead.body,
        "body_truncated": dead.body_truncated,
    }
    key = dead.message_id or f"sha256:{hashlib.sha256(dead.body).hexdigest()}"
    statement = insert(DeadLetter).values(id=uuid4(), queue=dead.queue, message_key=key, **said)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["queue", "message_key"],
            set_={**said, "status": "open", "times": DeadLetter.times + 1, "last_at": func.now()},
        )
    )
