"""Give a lead to an attorney, whoever chose: the counter, the decision record and the words are the same."""

from dataclasses import dataclass
from datetime import datetime

from shared_schemas.events import AttorneyRef, Explanation, LeadAssigned, LeadState
from sqlalchemy.ext.asyncio import AsyncSession

from assignment_worker.models import Assignment, Attorney, Lead


@dataclass(frozen=True)
class Contact:
    """What a LeadAssigned says of the prospect: taken from the event at hand, or from a lead still unowned."""

    outreach: bool
    first_name: str
    last_name: str
    email: str

    @classmethod
    def of(cls, source: LeadState | Lead) -> "Contact":
        """Read it. Raises ValueError for a lead with an owner: that one has none left."""
        if source.first_name is None or source.last_name is None or source.email is None:
            raise ValueError("the lead holds no contact data any more")
        return cls(source.outreach, source.first_name, source.last_name, source.email)


def give_lead(
    session: AsyncSession,
    lead: Lead,
    attorney: Attorney,
    explanation: Explanation,
    *,
    contact: Contact,
    worker: str,
    at: datetime,
) -> LeadAssigned:
    """Make ``attorney`` the owner of an unowned lead by its next decision; return what is to be said of it."""
    lead.decision += 1
    lead.state = "assigned"
    lead.attorney_id = attorney.id
    lead.forget_contact()
    attorney.open_leads += 1
    attorney.last_assigned_at = at
    assignment = Assignment(
        lead=lead,
        lead_id=lead.lead_id,
        decision=lead.decision,
        epoch=lead.epoch,
        attorney_id=attorney.id,
        worker=worker,
        explanation=explanation.model_dump(mode="json"),
        active=True,
        assigned_at=at,
    )
    session.add(assignment)
    return lead_assigned(assignment, attorney, contact, explanation)


def lead_assigned(
    assignment: Assignment, attorney: Attorney, contact: Contact, explanation: Explanation
) -> LeadAssigned:
    """The event that an assignment is said with, the first time and at every repeat."""
    return LeadAssigned(
        lead_id=assignment.lead_id,
        epoch=assignment.epoch,
        decision=assignment.decision,
        outreach=contact.outreach,
        first_name=contact.first_name,
        last_name=contact.last_name,
        email=contact.email,
        attorney=AttorneyRef(id=attorney.id, name=attorney.name, email=attorney.email),
        explanation=explanation,
        assigned_at=assignment.assigned_at,
    )
