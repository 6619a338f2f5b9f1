"""What the mailer knows of a lead, for whoever explains a stuck one. No personal data."""

from datetime import datetime
from typing import Any
from uuid import UUID

from service_chassis.database import Sessions
from sqlalchemy import select

from mailer_worker.models import Delivery, ErasedLead, OutreachCancellation


async def describe_lead(sessions: Sessions, lead_id: UUID) -> dict[str, Any] | None:
    """State, numbers and times of the lead's deliveries, its cancellations and its tombstone; None: never heard of."""
    async with sessions() as session:
        deliveries = (
            await session.scalars(select(Delivery).where(Delivery.lead_id == lead_id).order_by(Delivery.sequence))
        ).all()
        cancellations = (
            await session.scalars(select(OutreachCancellation).where(OutreachCancellation.lead_id == lead_id))
        ).all()
        tombstone = await session.get(ErasedLead, lead_id)
    if not deliveries and not cancellations and tombstone is None:
        return None
    return {
        "lead_id": str(lead_id),
        "erased": tombstone is not None,
        "erased_at": _iso(tombstone.completed_at) if tombstone is not None else None,
        "cancellations": [{"kind": one.kind, "up_to_epoch": one.epoch} for one in cancellations],
        "deliveries": [_describe(delivery) for delivery in deliveries],
    }


def _describe(delivery: Delivery) -> dict[str, Any]:
    return {
        "delivery_id": str(delivery.id),
        "kind": delivery.kind,
        "recipient": delivery.recipient,
        "sequence": delivery.sequence,
        "epoch": delivery.epoch,
        "decision": delivery.decision,
        "state": delivery.state,
        "reason": delivery.reason,
        "ambiguous": delivery.ambiguous,
        "attempt": delivery.attempt,
        "attempts_made": delivery.attempts_made,
        "cancel_requested": delivery.cancel_requested,
        "next_attempt_at": _iso(delivery.next_attempt_at),
        "lease_until": _iso(delivery.lease_until),
        "attorney_id": str(delivery.attorney_id) if delivery.attorney_id else None,
        "message_id": delivery.message_id,
        "smtp_code": delivery.smtp_code,
        "sent_at": _iso(delivery.sent_at),
        "trace_id": delivery.trace_id,
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
