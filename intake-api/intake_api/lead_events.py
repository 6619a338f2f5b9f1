"""The events that state a lead: built in one place, so that every path says the same of the same state."""

from typing import TypeVar
from uuid import UUID

from shared_schemas.events import AttorneyRef, LeadReassigned, LeadRegistered, LeadReopened

from intake_api.lead_status import WANTS_OUTREACH, LeadStatus
from intake_api.models import Attorney, Lead

State = TypeVar("State", LeadRegistered, LeadReassigned, LeadReopened)


def wants_outreach(lead: Lead) -> bool:
    """Whether intake-api still wants the welcome mail of this lead."""
    return LeadStatus(lead.status) in WANTS_OUTREACH


def attorney_ref(attorney: Attorney) -> AttorneyRef:
    """The attorney as events carry them."""
    return AttorneyRef(id=attorney.id, name=attorney.name, email=attorney.email)


def state_of(
    lead: Lead, kind: type[State], *, attorney: Attorney | None = None, keep_attorney_id: UUID | None = None
) -> State:
    """State the lead: who they are, at which epoch, and a person's choice of owner if there is one."""
    return kind(
        lead_id=lead.id,
        epoch=lead.epoch,
        decision_seen=lead.decision,
        outreach=wants_outreach(lead),
        first_name=lead.first_name,
        last_name=lead.last_name,
        email=lead.email,
        practice_area=lead.practice_area,
        language=lead.language,
        keep_attorney_id=keep_attorney_id,
        attorney=attorney_ref(attorney) if attorney else None,
        registered_at=lead.created_at,
    )
