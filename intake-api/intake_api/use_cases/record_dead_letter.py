"""Put a given-up message on record: a failure belongs to a lead, not to a queue."""

import hashlib
import re
from typing import Any
from uuid import UUID, uuid4

from shared_schemas.events import LeadErased, MessageDeadLettered
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from intake_api.erasure_models import Erasure
from intake_api.models import DeadLetter, Lead

_IDS = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


async def record_dead_letter(session: AsyncSession, dead: MessageDeadLettered) -> None:
    """Keep the message raw, one row per queue and message; a new failure of a known one reopens its row.

    A hearer tells no lead when it did not dare to read the message (it killed the process) or could not: then it
    is the first lead that the body names, so that nobody states that lead again before a person looked.

    Of an erased lead no content is kept, and nothing is left to do, unless it is the erasure that failed.
    """
    named = _named(dead)
    # An erasure under way is waited for: it either sees this row, or is seen.
    locked = select(Lead.id).where(Lead.id.in_(named)).with_for_update(read=True, key_share=True)
    known = set(await session.scalars(locked))
    closed: dict[str, Any] = {"status": "open"}
    said: dict[str, Any] = {
        "message_id": dead.message_id,
        "message_type": dead.message_type,
        "headers": dead.headers,
        "correlation_id": dead.correlation_id,
        "lead_id": dead.lead_id or next((lead_id for lead_id in named if lead_id in known), None),
        "attempts": dead.attempts,
        "error_type": dead.error_type,
        "error_place": dead.error_place,
        "body": dead.body,
        "body_truncated": dead.body_truncated,
    }
    if await session.scalar(select(Erasure.lead_id).where(Erasure.lead_id.in_(named)).limit(1)) is not None:
        said |= {"headers": {}, "body": b""}
        if dead.message_type != LeadErased.type:
            closed = {"status": "discarded", "resolution": "the lead was erased", "resolved_at": func.now()}
    # A sender of an older version told no hash of the whole body; what it cut is then told apart by its start only.
    key = dead.message_id or f"sha256:{dead.body_sha256 or hashlib.sha256(dead.body).hexdigest()}"
    statement = insert(DeadLetter).values(id=uuid4(), queue=dead.queue, message_key=key, **said, **closed)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["queue", "message_key"],
            set_={**said, **closed, "times": DeadLetter.times + 1, "last_at": func.now()},
        )
    )


def _named(dead: MessageDeadLettered) -> list[UUID]:
    """Every id that may be the lead's: the one told, and those in the body, in their order."""
    found = [UUID(one.decode()) for one in _IDS.findall(dead.body)]
    return [dead.lead_id, *found] if dead.lead_id is not None else found
