"""Staff ask for the welcome mail, again or at once (docs/design.md, Cancel and resend)."""

from uuid import UUID, uuid4

from service_chassis import outbox
from service_chassis.database import Sessions
from shared_schemas.events import OutreachRequested
from sqlalchemy import func, select

from intake_api import audit, repository, timeline
from intake_api.caller import Caller
from intake_api.exceptions import LeadNotFoundError, OutreachNotPossibleError
from intake_api.lead_events import attorney_ref
from intake_api.lead_status import OPEN, LeadStatus


async def request_outreach(sessions: Sessions, caller: Caller, lead_id: UUID) -> UUID:
    """Say OutreachRequested for an open lead with an owner; returns the request's id.

    What the mailer said last is no longer final: what it says next of the old delivery, or of a new one, counts.
    A second mail follows only one that is known to be sent, so that asking twice, or too early, sends none too many.
    Raises LeadNotFoundError, OutreachNotPossibleError.
    """
    request_id = uuid4()
    async with sessions.begin() as session:
        lead = await repository.lock_lead_and_address(session, lead_id)
        if not caller.sees(lead.assigned_to):
            raise LeadNotFoundError(lead_id)
        if LeadStatus(lead.status) not in OPEN:
            raise OutreachNotPossibleError(f"a lead that is {lead.status} gets no mail; reopen or release it first")
        if lead.assigned_to is None:
            raise OutreachNotPossibleError("the lead has no owner to write in whose name; assign it first")
        owner = await repository.find_attorney(session, lead.assigned_to)
        was_sent = lead.outreach_final and lead.outreach_reason is None
        sent_delivery_id = lead.outreach_delivery_id if was_sent else None
        lead.outreach_final = False
        lead.outreach_reason = None
        lead.outreach_next_at = await session.scalar(select(func.now()))
        event = OutreachRequested(
            request_id=request_id,
            lead_id=lead.id,
            epoch=lead.epoch,
            kind="welcome",
            first_name=lead.first_name,
            last_name=lead.last_name,
            email=lead.email,
            attorney=attorney_ref(owner),
            after_delivery_id=sent_delivery_id,
        )
        event_id = await outbox.add(session, event, correlation_id=lead.trace_id)
        await timeline.record(
            session,
            lead.id,
            "outreach.requested",
            actor=caller.actor,
            detail={"request_id": str(request_id), "attorney_id": str(owner.id)},
            event_id=str(event_id),
        )
        await session.flush()
        detail = {"request_id": str(request_id)}
        await audit.record_change(session, "post_outreach", lead.id, actor=caller.actor, detail=detail, result=202)
    return request_id
