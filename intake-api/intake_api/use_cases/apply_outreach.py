"""Apply what the mailer-worker says of a delivery, in whatever order it arrives (docs/design.md, invariant 3).

Only the kind ``welcome`` moves a lead's status; other kinds add timeline rows. A deferral applies only
if its attempt is later than the one held and the delivery is not final.
"""

from datetime import datetime
from typing import Any

from service_chassis.envelope import Envelope
from shared_schemas.events import LeadReachedOut, OutreachDeferred, OutreachFailed
from sqlalchemy.ext.asyncio import AsyncSession

from intake_api import repository, timeline
from intake_api.lead_status import OPEN, LeadStatus, after_outreach_failed, after_reached_out
from intake_api.models import Lead

ACTOR = "mailer-worker"
MOVING_KIND = "welcome"


async def apply_reached_out(session: AsyncSession, event: LeadReachedOut, envelope: Envelope) -> None:
    """LeadReachedOut: the relay took the mail. Applies from ``registered`` too. Raises LeadNotFoundError."""
    lead = await repository.lock_lead(session, event.lead_id)
    before = lead.status
    if event.kind == MOVING_KIND and lead.status in OPEN:
        lead.status = after_reached_out(LeadStatus(lead.status))
        lead.reached_at = lead.reached_at or event.sent_at
        lead.reached_out_by = lead.reached_out_by or event.attorney_id
        lead.waiting_reason = lead.waiting_since = None
        _finish(lead, event, attempt=event.attempts, reason=None)
    detail = {
        "attorney_id": str(event.attorney_id),
        "attempts": event.attempts,
        "ambiguous": event.ambiguous,
        "message_id": event.message_id,
    }
    moved = None if lead.status == before else lead.epoch
    await _record(session, event, envelope, event.attempts, detail, at=event.sent_at, moved=moved)


async def apply_deferred(session: AsyncSession, event: OutreachDeferred, envelope: Envelope) -> None:
    """OutreachDeferred: the mail waits, until when. Raises LeadNotFoundError."""
    lead = await repository.lock_lead(session, event.lead_id)
    if event.kind == MOVING_KIND and _is_news(lead, event):
        lead.outreach_delivery_id = event.delivery_id
        lead.outreach_attempt = event.attempt
        lead.outreach_next_at = event.next_attempt_at
        lead.outreach_reason = event.reason
        lead.outreach_final = False
    detail = {
        "attempt": event.attempt,
        "reason": event.reason,
        "ambiguous": event.ambiguous,
        "next_attempt_at": event.next_attempt_at.isoformat() if event.next_attempt_at else None,
    }
    await _record(session, event, envelope, event.attempt, detail)


async def apply_failed(session: AsyncSession, event: OutreachFailed, envelope: Envelope) -> None:
    """OutreachFailed: no further attempt without a person. Raises LeadNotFoundError."""
    lead = await repository.lock_lead(session, event.lead_id)
    before = lead.status
    if event.kind == MOVING_KIND:
        lead.status = after_outreach_failed(LeadStatus(lead.status))
        if lead.status == LeadStatus.OUTREACH_FAILED:
            lead.waiting_reason = lead.waiting_since = None
        _finish(lead, event, attempt=event.attempts, reason=event.reason)
    detail = {"reason": event.reason, "smtp_code": event.smtp_code, "attempts": event.attempts}
    moved = None if lead.status == before else lead.epoch
    await _record(session, event, envelope, event.attempts, detail, moved=moved)


def _is_news(lead: Lead, event: OutreachDeferred) -> bool:
    if lead.outreach_delivery_id != event.delivery_id:
        return not (lead.outreach_final and lead.status == LeadStatus.REACHED_OUT)
    return not lead.outreach_final and event.attempt > (-1 if lead.outreach_attempt is None else lead.outreach_attempt)


def _finish(lead: Lead, event: LeadReachedOut | OutreachFailed, *, attempt: int, reason: str | None) -> None:
    lead.outreach_delivery_id = event.delivery_id
    lead.outreach_attempt = attempt
    lead.outreach_next_at = None
    lead.outreach_reason = reason
    lead.outreach_final = True


async def _record(
    session: AsyncSession,
    event: LeadReachedOut | OutreachDeferred | OutreachFailed,
    envelope: Envelope,
    attempt: int,
    detail: dict[str, Any],
    at: datetime | None = None,
    moved: int | None = None,
) -> None:
    """Add the row of an attempt once. ``moved``: the epoch in which it moved the lead, if it did.

    What was heard before, of a closed lead or of one closed since, moves it when it is said again after it was
    reopened: one more row tells so, at the time of that word.
    """
    type_ = event.routing_key()
    occurrence = f"{event.delivery_id}:{attempt}:{type_}"
    if moved is not None and await timeline.is_recorded(session, event.lead_id, occurrence):
        occurrence, at = f"{occurrence}:{moved}", None
    await timeline.record(
        session,
        event.lead_id,
        type_,
        actor=ACTOR,
        event_id=envelope.message_id,
        occurrence=occurrence,
        at=at or timeline.said_at(envelope),
        detail={"kind": event.kind, "delivery_id": str(event.delivery_id), **detail},
    )
