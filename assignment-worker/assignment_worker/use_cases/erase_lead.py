"""Erase a lead: nothing of it stays here but a tombstone with its id (docs/design.md, invariant 9)."""

from service_chassis import outbox
from shared_schemas.events import LeadDataErased, LeadErased
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from assignment_worker import repository
from assignment_worker.models import Assignment, Lead

SERVICE = "assignment-worker"


async def erase_lead(session: AsyncSession, event: LeadErased) -> None:
    """Delete rows and unsent events of the lead, leave the tombstone, and say LeadDataErased.

    Final: no event of the lead has an effect afterwards. A repeat says LeadDataErased again.
    """
    await repository.take_turn(session)
    lead = await session.get(Lead, event.lead_id)
    counts = {"leads": int(lead is not None and lead.state != "erased")}
    if lead is None:
        session.add(Lead(lead_id=event.lead_id, epoch=0, decision=0, state="erased"))
    else:
        await repository.release(session, lead)
        lead.epoch = lead.decision = 0
        lead.state = "erased"
        lead.outreach = False
        lead.registered_at = lead.trace_id = None
        lead.forget_contact()
    records = delete(Assignment).where(Assignment.lead_id == event.lead_id).returning(Assignment.decision)
    counts["assignments"] = len((await session.scalars(records)).all())
    counts["outbox"] = await outbox.forget_lead(session, event.lead_id)
    await outbox.add(session, LeadDataErased(lead_id=event.lead_id, service=SERVICE, counts=counts))
    await repository.wake_choosers(session)
