"""Close a lead: it no longer counts as anybody's work."""

from shared_schemas.events import LeadClosed
from shared_schemas.order import Arrival
from sqlalchemy.ext.asyncio import AsyncSession

from assignment_worker import repository
from assignment_worker.arrival import arrival
from assignment_worker.models import Lead


async def close_lead(session: AsyncSession, event: LeadClosed) -> None:
    """Take the lead from its owner and keep it as closed at that epoch, even when it was unknown.

    An older or repeated LeadClosed has no effect; a newer LeadReopened revives the lead.
    """
    await repository.take_turn(session)
    lead = await session.get(Lead, event.lead_id)
    if lead is None:
        session.add(Lead(lead_id=event.lead_id, epoch=event.epoch, decision=event.decision_seen, state="closed"))
        return
    if lead.state == "erased" or arrival(event, lead.place) is not Arrival.NEWER:
        return
    had_owner = lead.attorney_id is not None
    await repository.release(session, lead)
    lead.epoch = event.epoch
    lead.decision = max(lead.decision, event.decision_seen)
    lead.state = "closed"
    lead.forget_contact()
    if had_owner:
        await repository.wake_choosers(session)
