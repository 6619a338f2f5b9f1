"""Reading and writing the state under one lock, and in bulk.

Every transaction that changes a counter, a roster row or a lead calls `take_turn` first: such transactions
run one after the other, so that choices are exact whatever the number of workers (docs/design.md, invariant 6).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from service_chassis.database import Sessions
from shared_schemas.events import WaitingReason
from sqlalchemy import and_, func, or_, select, text, true, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql import ColumnElement

from assignment_worker.assignment_policy import Roster, RosterEntry
from assignment_worker.models import UNOWNED, WAITING_REASONS, Assignment, Attorney, Lead

CHANNEL = "choosing"
"""The NOTIFY channel that wakes choosing loops."""

_TAKE_TURN = text("SELECT pg_advisory_xact_lock(4171)")
_WAKE = select(func.pg_notify(CHANNEL, ""))
_CLOCK = select(func.clock_timestamp())


async def take_turn(session: AsyncSession) -> None:
    """Wait until no other transaction changes the roster or the leads; held until this one ends."""
    await session.execute(_TAKE_TURN)


async def wake_choosers(session: AsyncSession) -> None:
    """Wake the choosing loops of all workers when the caller's transaction commits."""
    await session.execute(_WAKE)


async def database_time(session: AsyncSession) -> datetime:
    """The time at the database: of all workers the same clock, and not older than the turn."""
    now: datetime = (await session.execute(_CLOCK)).scalar_one()
    return now


def roster_entry(attorney: Attorney) -> RosterEntry:
    """The attorney as the policy sees them."""
    return RosterEntry(
        id=attorney.id,
        is_known=attorney.version > 0,
        available=attorney.available,
        capacity=attorney.capacity,
        open_leads=attorney.open_leads,
        last_assigned_at=attorney.last_assigned_at,
        absences=tuple(
            (datetime.fromisoformat(absence["starts_at"]), datetime.fromisoformat(absence["ends_at"]))
            for absence in attorney.absences
        ),
    )


async def load_roster(session: AsyncSession, at: datetime) -> tuple[Roster, dict[UUID, Attorney]]:
    """All attorneys as the policy sees them at that instant, and their rows."""
    attorneys = {attorney.id: attorney for attorney in await session.scalars(select(Attorney))}
    return Roster(map(roster_entry, attorneys.values()), at), attorneys


async def release(session: AsyncSession, lead: Lead) -> None:
    """End the active assignment of a lead, if it has one. The caller moves the lead on before it flushes."""
    if lead.attorney_id is None:
        return
    active = update(Assignment).where(Assignment.lead_id == lead.lead_id, Assignment.active)
    await session.execute(active.values(active=False))
    owner = await session.get_one(Attorney, lead.attorney_id)
    owner.open_leads -= 1
    lead.attorney_id = None


async def leads_to_settle(session: AsyncSession, roster: Roster, limit: int) -> Sequence[Lead]:
    """The oldest leads for which this roster says something new: a choice, or another reason to wait.

    Leads that wait for the very reason which still holds are not read, however many they are.
    """
    pivot = roster.pivot
    unsettled = _says_anything_but(roster.waiting_reason(None))
    if pivot is not None:
        unsettled = or_(
            and_(Lead.not_attorney_id.is_distinct_from(pivot), unsettled),
            and_(Lead.not_attorney_id == pivot, _says_anything_but(roster.waiting_reason(pivot))),
        )
    oldest_first = select(Lead).where(UNOWNED, unsettled).order_by(Lead.registered_at, Lead.lead_id).limit(limit)
    return (await session.scalars(oldest_first)).all()


def _says_anything_but(reason: WaitingReason | None) -> ColumnElement[bool]:
    """A pending lead, or one whose waiting reason is another; no reason (somebody may take it): every lead."""
    if reason is None:
        return true()
    others = [other for other in WAITING_REASONS if other != reason]
    return or_(Lead.state == "pending", and_(Lead.state == "waiting", Lead.waiting_reason.in_(others)))


async def count_waiting(session: AsyncSession) -> int:
    """How many leads wait for an attorney: for the gauge, never for a choice."""
    waiting = select(func.count()).select_from(Lead).where(UNOWNED, Lead.state == "waiting")
    return (await session.execute(waiting)).scalar_one()


async def describe_lead(sessions: Sessions, lead_id: UUID) -> dict[str, Any] | None:
    """What this service holds of a lead, without personal data; None when it knows no such lead."""
    async with sessions() as session:
        lead = await session.get(Lead, lead_id)
        if lead is None:
            return None
        assignment = await session.get(Assignment, (lead_id, lead.decision))
        return {
            "lead_id": str(lead_id),
            "state": lead.state,
            "epoch": lead.epoch,
            "decision": lead.decision,
            "attorney_id": str(lead.attorney_id) if lead.attorney_id else None,
            "assigned_at": assignment.assigned_at.isoformat() if assignment and assignment.active else None,
            "worker": assignment.worker if assignment and assignment.active else None,
            "waiting_reason": lead.waiting_reason,
            "waiting_since": lead.waiting_since.isoformat() if lead.waiting_since else None,
            "registered_at": lead.registered_at.isoformat() if lead.registered_at else None,
        }
