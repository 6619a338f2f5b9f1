"""Apply what the assignment-worker decided, in whatever order it arrives (docs/design.md, invariant 3).

An event moves the lead only if its (epoch, decision) is after the one held; each one that arrives gets
its timeline row at its own time, also when it comes too late to change anything.
"""

from service_chassis.envelope import Envelope
from shared_schemas.events import LeadAssigned, LeadWaiting
from shared_schemas.order import Arrival, Place
from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncSession

from intake_api import repository, timeline
from intake_api.lead_events import wants_outreach
from intake_api.lead_status import OPEN, LeadStatus, after_assigned, after_waiting
from intake_api.models import Lead

ACTOR = "assignment-worker"


async def apply_assigned(session: AsyncSession, event: LeadAssigned, envelope: Envelope) -> None:
    """LeadAssigned: the lead has an owner. Raises LeadNotFoundError."""
    lead = await repository.lock_lead(session, event.lead_id)
    applies = _applies(lead, event)
    if applies:
        lead.decision = event.decision
        lead.assigned_to = event.attorney.id
        lead.waiting_reason = lead.waiting_since = None
        lead.status = after_assigned(LeadStatus(lead.status))
        if event.outreach and wants_outreach(lead) and lead.outreach_delivery_id is None:
            lead.outreach_next_at = event.assigned_at
    await timeline.record(
        session,
        event.lead_id,
        "lead.assigned",
        actor=ACTOR,
        event_id=envelope.message_id,
        occurrence=f"lead.assigned:{event.epoch}:{event.decision}",
        at=event.assigned_at,
        detail={
            "attorney_id": str(event.attorney.id),
            "epoch": event.epoch,
            "decision": event.decision,
            "applied": applies,
            "explanation": event.explanation.model_dump(mode="json"),
        },
    )


async def apply_waiting(session: AsyncSession, event: LeadWaiting, envelope: Envelope) -> None:
    """LeadWaiting: nobody may take the lead now; it has no owner, and says why. Raises LeadNotFoundError."""
    lead = await repository.lock_lead(session, event.lead_id)
    # A repeat restores a reason that LeadReachedOut cleared meanwhile: an open lead without owner says why.
    lacks_reason = lead.assigned_to is None and lead.waiting_reason is None
    applies = _applies(lead, event) or (_is_held(lead, event) and lacks_reason and lead.status in OPEN)
    if applies:
        lead.decision = event.decision
        lead.assigned_to = None
        lead.status = after_waiting(LeadStatus(lead.status))
        if lead.waiting_reason is None:
            lead.waiting_since = func.now()
        lead.waiting_reason = event.reason
    await timeline.record(
        session,
        event.lead_id,
        "lead.waiting",
        actor=ACTOR,
        event_id=envelope.message_id,
        occurrence=f"lead.waiting:{event.epoch}:{event.decision}",
        at=timeline.said_at(envelope),
        detail={
            "reason": event.reason,
            "epoch": event.epoch,
            "decision": event.decision,
            "applied": applies,
            "explanation": event.explanation.model_dump(mode="json"),
        },
    )


def _is_held(lead: Lead, event: LeadWaiting) -> bool:
    return Place(event.epoch, event.decision) == Place(lead.epoch, lead.decision)


def _applies(lead: Lead, event: LeadAssigned | LeadWaiting) -> bool:
    held = Place(lead.epoch, lead.decision)
    return Place(event.epoch, event.decision).meets(held) is Arrival.NEWER
