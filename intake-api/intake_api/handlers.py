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
from intake_api.use_cases.apply_decision import apply_assigned, apply_waiting
from intake_api.use_cases.apply_outreach import apply_deferred, apply_failed, apply_reached_out
from intake_api.use_cases.finish_erasures import record_answer, unless_erased
from intake_api.use_cases.record_dead_letter import record_dead_letter


async def on_dead_letter(session: AsyncSession, event: MessageDeadLettered, _envelope: Envelope) -> None:
    """Keep another service's given-up message."""
    await record_dead_letter(session, event)


async def on_data_erased(session: AsyncSession, event: LeadDataErased, envelope: Envelope) -> None:
    """A service holds nothing of an erased lead any more. Raises LeadNotFoundError."""
    await record_answer(session, event, said_at=timeline.said_at(envelope))


SUBSCRIPTIONS = (
    Subscription(
        INTAKE_LEAD_STATUS,
        {
            LeadAssigned: unless_erased(apply_assigned),
            LeadWaiting: unless_erased(apply_waiting),
            LeadReachedOut: unless_erased(apply_reached_out),
            OutreachDeferred: unless_erased(apply_deferred),
            OutreachFailed: unless_erased(apply_failed),
            LeadDataErased: on_data_erased,
        },
        dead_letter=record_dead_letter,
    ),
    Subscription(INTAKE_DEAD_LETTERS, {MessageDeadLettered: on_dead_letter}, dead_letter=record_dead_letter),
)
