"""What a delivery says, rebuilt from its row: so that the last event can be said again with the same numbers."""

from typing import cast

from service_chassis import outbox
from shared_schemas.events import (
    DeliveryEvent,
    FailureReason,
    LeadReachedOut,
    OutreachDeferred,
    OutreachFailed,
    OutreachKind,
)
from sqlalchemy.ext.asyncio import AsyncSession

from mailer_worker.models import PROSPECT_LINK, Delivery, DeliveryState


def event_of(delivery: Delivery) -> DeliveryEvent | None:
    """The event that states this delivery's outcome; None while it has none, and for a mail of a link."""
    if delivery.kind == PROSPECT_LINK:
        return None
    kind = cast(OutreachKind, delivery.kind)
    if delivery.state == DeliveryState.SENT:
        assert delivery.mail_attorney_id is not None  # noqa: S101 - frozen with the mail
        assert delivery.message_id is not None  # noqa: S101 - same
        assert delivery.sent_at is not None  # noqa: S101 - written with `sent`
        return LeadReachedOut(
            lead_id=delivery.lead_id,
            delivery_id=delivery.id,
            kind=kind,
            attorney_id=delivery.mail_attorney_id,
            message_id=delivery.message_id,
            attempts=delivery.attempts_made,
            ambiguous=delivery.ambiguous,
            sent_at=delivery.sent_at,
        )
    if delivery.state == DeliveryState.FAILED:
        return OutreachFailed(
            lead_id=delivery.lead_id,
            delivery_id=delivery.id,
            kind=kind,
            reason=cast(FailureReason, delivery.reason),
            smtp_code=delivery.smtp_code,
            attempts=delivery.attempts_made,
        )
    if delivery.state == DeliveryState.DEFERRED:
        return OutreachDeferred(
            lead_id=delivery.lead_id,
            delivery_id=delivery.id,
            kind=kind,
            attempt=delivery.attempt,
            reason=delivery.reason or "put_back",
            ambiguous=delivery.ambiguous,
            next_attempt_at=delivery.next_attempt_at,
        )
    return None


async def say(session: AsyncSession, delivery: Delivery) -> None:
    """Say (again) what this delivery has to say, in the trace of its lead."""
    event = event_of(delivery)
    if event is not None:
        await outbox.add(session, event, correlation_id=delivery.trace_id)
