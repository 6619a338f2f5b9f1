"""Retention: leads that stayed in a status for longer than it allows are erased, as by a person's request.

The days count from the lead's last change. A lead under a legal hold stays. A second run finds nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from service_chassis import telemetry
from service_chassis.database import Sessions
from sqlalchemy import ColumnElement, and_, exists, false, func, or_, select, tuple_
from sqlalchemy.exc import DBAPIError
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
    after: tuple[datetime, UUID] | None = None
    while batch := await _next_batch(sessions, days, after):
        for updated_at, lead_id in batch:
            after = (updated_at, lead_id)
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
            except DBAPIError as error:  # one that cannot be erased keeps no other; the next round tries it again
                if error.connection_invalidated:
                    raise
                log.error("retention_failed", lead_id=str(lead_id), **telemetry.log_fields(error))
                continue
            erased += 1
    if erased:
        log.info("retention_applied", erased=erased)
    return erased


async def _next_batch(
    sessions: Sessions, days: Mapping[LeadStatus, int], after: tuple[datetime, UUID] | None
) -> Sequence[tuple[datetime, UUID]]:
    """The next leads after that one: a round looks at each once, whether or not it could be erased."""
    place = tuple_(Lead.updated_at, Lead.id)
    wanted = select(Lead.updated_at, Lead.id).where(_past(days), ~_HELD).order_by(Lead.updated_at, Lead.id)
    if after is not None:
        wanted = wanted.where(place > tuple_(*after))
    async with sessions() as session:
        return [(row.updated_at, row.id) for row in await session.execute(wanted.limit(BATCH))]


_HELD = exists().where(LegalHold.lead_id == Lead.id)


def _past(days: Mapping[LeadStatus, int]) -> ColumnElement[bool]:
    return or_(
        false(),
        *(
            and_(Lead.status == status, Lead.updated_at < func.now() - func.make_interval(0, 0, 0, limit))
            for status, limit in days.items()
        ),
    )
