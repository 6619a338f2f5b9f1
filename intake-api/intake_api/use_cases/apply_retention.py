"""Retention: leads that stayed in a status for longer than it allows are erased, as by a person's request.

The days count from the lead's last change. A lead under a legal hold stays. A second run finds nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog
from service_chassis.database import Sessions
from sqlalchemy import ColumnElement, and_, exists, false, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from intake_api.erasure_models import LegalHold
from intake_api.exceptions import LeadNotFoundError, LegalHoldError, NotDueError
from intake_api.lead_status import LeadStatus
from intake_api.models import Lead
from intake_api.use_cases.erase_lead import RETENTION, HashRecipient, erase_lead

log = structlog.get_logger(__name__)

ACTOR = "retention"
BATCH = 200


@dataclass(frozen=True)
class Due:
    """The leads of a status that are past their days: how many, and how many of them a legal hold keeps."""

    status: LeadStatus
    days: int
    due: int
    held: int


async def find_due(session: AsyncSession, days: Mapping[LeadStatus, int]) -> Sequence[Due]:
    """What a run would erase now, by status; nothing is changed."""
    found = []
    for status, limit in sorted(days.items()):
        past = _past({status: limit})
        held = await session.scalar(select(func.count()).select_from(Lead).where(past, _HELD))
        due = await session.scalar(select(func.count()).select_from(Lead).where(past, ~_HELD))
        found.append(Due(status, limit, int(due or 0), int(held or 0)))
    return found


async def apply_retention(
    sessions: Sessions, days: Mapping[LeadStatus, int], hash_recipient: HashRecipient, *, actor: str = ACTOR
) -> int:
    """Erase what is due and return how many leads that were."""
    erased = 0
    while batch := await _next_batch(sessions, days):
        for lead_id in batch:
            try:
                await erase_lead(
                    sessions,
                    lead_id,
                    actor=actor,
                    hash_recipient=hash_recipient,
                    reason=RETENTION,
                    only_if=_past(days),
                )
            except (LegalHoldError, LeadNotFoundError, NotDueError):  # held, gone or changed since the batch was read
                continue
            erased += 1
    if erased:
        log.info("retention_applied", erased=erased)
    return erased


async def _next_batch(sessions: Sessions, days: Mapping[LeadStatus, int]) -> Sequence[UUID]:
    async with sessions() as session:
        found = await session.scalars(select(Lead.id).where(_past(days), ~_HELD).order_by(Lead.updated_at).limit(BATCH))
        return found.all()


_HELD = exists().where(LegalHold.lead_id == Lead.id)


def _past(days: Mapping[LeadStatus, int]) -> ColumnElement[bool]:
    return or_(
        false(),
        *(
            and_(Lead.status == status, Lead.updated_at < func.now() - func.make_interval(0, 0, 0, limit))
            for status, limit in days.items()
        ),
    )
