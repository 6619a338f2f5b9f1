"""Messages in: which use case each event goes to. No rules here."""

from service_chassis.envelope import Envelope
from service_chassis.hearing import Subscription
from shared_schemas.events import (
    LeadAssigned,
    LeadDataErased,
    LeadReachedOut,
    LeadWaiting,
    MessageDeadLettered,
    OutreachDeferred,
    OutreachFailed,
)
from shared_schemas.topology import INTAKE_DEAD_LETTERS, INTAKE_LEAD_STATUS
from sqlalchemy.ext.asyncio import AsyncSession

from intake_api import timeline
from intake_api.repository import lock_lead
from intake_api.use_cases.apply_decision import apply_assigned, apply_waiting
from intake_api.use_cases.apply_outreach import apply_deferred, apply_failed, apply_reached_out
from intake_api.use_cases.record_dead_letter import record_dead_letter


async def on_dead_letter(session: AsyncSession, event: MessageDeadLettered, _envelope: Envelope) -> None:
    """Keep another service's given-up message."""
    await record_dead_letter(session, event)


async def on_data_erased(session: AsyncSession, event: LeadDataErased, envelope: Envelope) -> None:
    """Note on a lead's timeline that a service erased its data. Raises LeadNotFoundError."""
    lead = await lock_lead(session, event.lead_id)
    await timeline.record(
        session,
        lead.id,
        "lead.data-erased",
        actor=event.service,
        event_id=envelope.message_id,
        occurrence=f"lead.data-erased:{event.service}",
        at=timeline.said_at(envelope),
        detail={"counts": event.counts},
    )


SUBSCRIPTIONS = (
    Subscription(
        INTAKE_LEAD_STATUS,
        {
            LeadAssigned: apply_assigned,
            LeadWaiting: apply_waiting,
            LeadReachedOut: apply_reached_out,
            OutreachDeferred: apply_deferred,
            OutreachFailed: apply_failed,
            LeadDataErased: on_data_erased,
        },
        dead_letter=record_dead_letter,
    ),
    Subscription(INTAKE_DEAD_LETTERS, {MessageDeadLettered: on_dead_letter}, dead_letter=record_dead_letter),
)
