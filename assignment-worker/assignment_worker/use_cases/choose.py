"""Choose attorneys for the leads that have none, oldest first, in one transaction."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from service_chassis import outbox
from shared_schemas.events import Event, Explanation, LeadWaiting, WaitingReason
from sqlalchemy.ext.asyncio import AsyncSession

from assignment_worker import repository
from assignment_worker.assignment_policy import Chosen, Nobody, Wish
from assignment_worker.models import Lead
from assignment_worker.use_cases.give_lead import Contact, give_lead


@dataclass
class Round:
    """What one transaction of choosing came to. ``waiting`` counts newly said reasons."""

    read: int
    assigned: int = 0
    waiting: Counter[str] = field(default_factory=Counter)

    @property
    def changed(self) -> int:
        """How many leads it moved or said something new about."""
        return self.assigned + self.waiting.total()


async def choose(session: AsyncSession, worker: str, limit: int) -> Round:
    """Choose for at most ``limit`` leads. A batch read in full means that there may be more to do.

    Each choice is exact at this transaction's commit (docs/design.md, invariant 6): everybody else waits for its turn.
    """
    await repository.take_turn(session)
    at = await repository.database_time(session)
    roster, attorneys = await repository.load_roster(session, at)
    leads = await repository.leads_to_settle(session, roster, limit)
    done = Round(read=len(leads))
    events: list[tuple[Event, str | None]] = []
    for number, lead in enumerate(leads):
        choice = roster.choose(Wish(lead.keep_attorney_id, lead.not_attorney_id))
        if isinstance(choice, Chosen):
            # A microsecond apart: within one batch, too, the longest idle is known.
            given_at = at + timedelta(microseconds=number)
            roster.assign(choice.attorney_id, given_at)
            attorney, contact = attorneys[choice.attorney_id], Contact.of(lead)
            event: Event = give_lead(
                session, lead, attorney, choice.explanation, contact=contact, worker=worker, at=given_at
            )
            done.assigned += 1
        elif choice.reason != lead.waiting_reason:
            event = _let_wait(lead, choice, at)
            done.waiting[choice.reason] += 1
        else:
            continue
        events.append((event, lead.trace_id))
    await outbox.add_all(session, events)
    return done


def _let_wait(lead: Lead, nobody: Nobody, at: datetime) -> LeadWaiting:
    lead.decision += 1
    lead.state = "waiting"
    lead.waiting_reason = nobody.reason
    lead.waiting_since = lead.waiting_since or at
    lead.explanation = nobody.explanation.model_dump(mode="json")
    return lead_waiting(lead, nobody.reason, nobody.explanation)


def lead_waiting(lead: Lead, reason: WaitingReason, explanation: Explanation) -> LeadWaiting:
    """The event that a wait is said with, the first time and at every repeat."""
    return LeadWaiting(
        lead_id=lead.lead_id,
        epoch=lead.epoch,
        decision=lead.decision,
        reason=reason,
        explanation=explanation,
    )
