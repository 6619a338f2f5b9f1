"""Why a lead is whose it is: the latest decision of a person or of the assignment-worker, as the timeline holds it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from service_chassis.database import Sessions
from shared_schemas.events import Explanation
from sqlalchemy import BigInteger, cast, select

from intake_api import repository
from intake_api.caller import Caller
from intake_api.models import TimelineEntry

_DECISIONS = ("lead.assigned", "lead.waiting", "lead.reassigned")


class Assignment(BaseModel):
    """Who has the lead, and the decision behind it. ``explanation`` is null until the assignment-worker answered."""

    lead_id: UUID
    assigned_to: UUID | None
    waiting_reason: str | None
    decided_at: datetime | None = None
    decided_by: str | None = None
    epoch: int
    explanation: Explanation | None = None


async def explain_assignment(sessions: Sessions, caller: Caller, lead_id: UUID) -> Assignment:
    """The decision that holds now. Raises LeadNotFoundError."""
    epoch = cast(TimelineEntry.detail["epoch"].astext, BigInteger)
    decision = cast(TimelineEntry.detail["decision"].astext, BigInteger)
    async with sessions() as session:
        lead = await repository.find_lead(session, lead_id, caller)
        entry = await session.scalar(
            select(TimelineEntry)
            .where(TimelineEntry.lead_id == lead_id, TimelineEntry.type.in_(_DECISIONS))
            .order_by(epoch.desc(), decision.desc().nulls_last(), TimelineEntry.at.desc())
            .limit(1)
        )
    found = Assignment(
        lead_id=lead.id, assigned_to=lead.assigned_to, waiting_reason=lead.waiting_reason, epoch=lead.epoch
    )
    if entry is not None:
        explanation: dict[str, Any] | None = entry.detail.get("explanation")
        found.decided_at, found.decided_by = entry.at, entry.actor
        found.explanation = Explanation.model_validate(explanation) if explanation else None
    return found
