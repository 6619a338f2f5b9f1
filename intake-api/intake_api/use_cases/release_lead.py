"""Staff decide on a quarantined lead: release it into the ordinary life of leads, or discard it.

A release is status and LeadRegistered in one transaction. When the address has another open lead meanwhile, the
quarantined one's submissions join that, and it is discarded as merged. Nobody outside has heard of a quarantined
lead: discarding says nothing.
"""

from service_chassis import outbox
from shared_schemas.events import LeadRegistered
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from intake_api import repository, timeline
from intake_api.caller import Caller
from intake_api.lead_events import state_of
from intake_api.lead_status import OPEN, LeadStatus
from intake_api.models import Lead, Submission
from intake_api.use_cases.hold_lead import copy_hold


async def release_lead(session: AsyncSession, caller: Caller, lead: Lead) -> None:
    """Release a locked quarantined lead; the caller holds its address lock."""
    other = await session.scalar(
        select(Lead)
        .where(Lead.email_key == lead.email_key, Lead.status.in_(OPEN), Lead.id != lead.id)
        .order_by(Lead.created_at.desc())
        .limit(1)
        .with_for_update()
    )
    lead.released_at = await session.scalar(select(func.now()))
    if other is not None:
        await move_submissions(session, caller, lead, other)
        lead.status = LeadStatus.DISCARDED
        lead.merged_into = other.id
        return
    lead.status = LeadStatus.REGISTERED
    await session.flush()
    keep = await repository.former_owner(session, lead.email_key)
    event_id = await outbox.add(
        session, state_of(lead, LeadRegistered, keep_attorney_id=keep), correlation_id=lead.trace_id
    )
    await timeline.record(
        session,
        lead.id,
        "lead.registered",
        actor=caller.actor,
        detail={"released_from": LeadStatus.QUARANTINED.value},
        occurrence="lead.registered:0",
        event_id=str(event_id),
    )


async def move_submissions(session: AsyncSession, caller: Caller, source: Lead, target: Lead) -> None:
    """Give all submissions of one lead to another, and a legal hold with them; both timelines say so."""
    await copy_hold(session, source.id, target.id)
    moved = await session.scalars(
        update(Submission).where(Submission.lead_id == source.id).values(lead_id=target.id).returning(Submission.id)
    )
    ids = sorted(str(one) for one in moved)
    for lead, type_, other in ((source, "lead.merged-into", target), (target, "lead.merged-from", source)):
        detail = {"lead_id": str(other.id), "submission_ids": ids}
        await timeline.record(session, lead.id, type_, actor=caller.actor, detail=detail)
