"""Apply LeadRegistered, LeadReassigned or LeadReopened: what intake-api states of a lead that wants an owner."""

from service_chassis import outbox
from service_chassis.telemetry import current_trace_id
from shared_schemas.events import AttorneyRef, Explanation, LeadReassigned, LeadState
from shared_schemas.order import Arrival
from sqlalchemy.ext.asyncio import AsyncSession

from assignment_worker import repository
from assignment_worker.arrival import arrival
from assignment_worker.assignment_policy import explain_person
from assignment_worker.models import Assignment, Attorney, Lead
from assignment_worker.use_cases.choose import lead_waiting
from assignment_worker.use_cases.give_lead import Contact, give_lead, lead_assigned


async def apply_lead_state(session: AsyncSession, event: LeadState, worker: str) -> None:
    """Bring the lead to the event's place; whichever event of it comes first creates it.

    Newer: a person's choice is applied at once, whoever it is; without one the lead is pending and the
    choosing loops are woken. Repeat: what was last said of the lead is said again, with the same numbers.
    Stale, or erased: nothing.
    """
    await repository.take_turn(session)
    lead = await session.get(Lead, event.lead_id)
    if lead is not None and lead.state == "erased":
        return
    standing = arrival(event, lead.place if lead else None)
    if standing is Arrival.NEWER:
        await _apply(session, lead, event, worker)
    elif standing is Arrival.REPEAT and lead is not None:
        await _say_again(session, lead, event)


async def _apply(session: AsyncSession, lead: Lead | None, event: LeadState, worker: str) -> None:
    held = lead.decision if lead else 0
    owner = await _attorney_told(session, event.attorney) if event.attorney else None
    if lead is None:
        lead = Lead(lead_id=event.lead_id)
        session.add(lead)
    with session.no_autoflush:
        shunned = lead.attorney_id or lead.not_attorney_id
        await repository.release(session, lead)
        lead.epoch = event.epoch
        lead.decision = max(held, event.decision_seen)
        lead.outreach = event.outreach
        lead.registered_at = event.registered_at
        lead.trace_id = current_trace_id()
        lead.forget_contact()
        if owner is not None:
            await _give(session, lead, owner, event, worker, is_restated=event.decision_seen > held)
            return
    lead.state = "pending"
    lead.first_name, lead.last_name, lead.email = event.first_name, event.last_name, event.email
    lead.practice_area, lead.language = event.practice_area, event.language
    lead.keep_attorney_id = event.keep_attorney_id
    lead.not_attorney_id = shunned if isinstance(event, LeadReassigned) else None
    await repository.wake_choosers(session)


async def _attorney_told(session: AsyncSession, told: AttorneyRef) -> Attorney:
    """The attorney that a person chose; one we were not told of yet gets a row of version 0."""
    attorney = await session.get(Attorney, told.id)
    if attorney is None:
        attorney = Attorney(
            id=told.id,
            version=0,
            name=told.name,
            email=told.email,
            available=False,
            practice_areas=[],
            languages=[],
            absences=[],
            open_leads=0,
        )
        session.add(attorney)
        await session.flush()
    return attorney


async def _give(
    session: AsyncSession, lead: Lead, owner: Attorney, event: LeadState, worker: str, *, is_restated: bool
) -> None:
    at = await repository.database_time(session)
    explanation = explain_person(repository.roster_entry(owner), at, is_restated=is_restated)
    said = give_lead(session, lead, owner, explanation, contact=Contact.of(event), worker=worker, at=at)
    # The event names the attorney as intake-api has them now; our row may be older.
    await outbox.add(session, said.model_copy(update={"attorney": event.attorney}))


async def _say_again(session: AsyncSession, lead: Lead, event: LeadState) -> None:
    if lead.attorney_id is not None:
        assignment = await session.get_one(Assignment, (lead.lead_id, lead.decision))
        attorney = await session.get_one(Attorney, lead.attorney_id)
        explanation = Explanation.model_validate(assignment.explanation)
        await outbox.add(session, lead_assigned(assignment, attorney, Contact.of(event), explanation))
    elif lead.waiting_reason is not None:
        explanation = Explanation.model_validate(lead.explanation)
        await outbox.add(session, lead_waiting(lead, lead.waiting_reason, explanation))
    elif lead.state == "pending":
        await repository.wake_choosers(session)
