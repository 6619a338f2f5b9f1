"""Reading and locking rows. Every path takes the address lock before a lead row."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, false, func, select, text, true
from sqlalchemy.ext.asyncio import AsyncSession

from intake_api.caller import Caller
from intake_api.exceptions import AttorneyNotFoundError, LeadNotFoundError
from intake_api.lead_status import OPEN
from intake_api.models import Attorney, Lead, Submission, TimelineEntry

_ADDRESS_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('address:' || :email_key, 0))")


async def lock_address(session: AsyncSession, email_key: str) -> None:
    """Wait until no other transaction works on this address."""
    await session.execute(_ADDRESS_LOCK, {"email_key": email_key})


async def lock_lead(session: AsyncSession, lead_id: UUID) -> Lead:
    """Lock one lead for a message handler. Raises LeadNotFoundError."""
    lead = await session.get(Lead, lead_id, with_for_update=True, populate_existing=True)
    if lead is None:
        raise LeadNotFoundError(lead_id)
    return lead


async def lock_lead_and_address(session: AsyncSession, lead_id: UUID) -> Lead:
    """Lock a lead for a person's change: its address first, then its row. Raises LeadNotFoundError."""
    email_key = await session.scalar(select(Lead.email_key).where(Lead.id == lead_id))
    if email_key is None:
        raise LeadNotFoundError(lead_id)
    await lock_address(session, email_key)
    return await lock_lead(session, lead_id)


async def find_lead(session: AsyncSession, lead_id: UUID, caller: Caller) -> Lead:
    """Read one lead. Raises LeadNotFoundError, also for one that the caller may not see."""
    lead = await session.get(Lead, lead_id)
    if lead is None or not caller.sees(lead.assigned_to):
        raise LeadNotFoundError(lead_id)
    return lead


def visible_to(caller: Caller) -> ColumnElement[bool]:
    """The condition that every query of leads for a caller has: an attorney's own, else all."""
    if not caller.sees_own_leads_only:
        return true()
    return Lead.assigned_to == caller.attorney_id if caller.attorney_id else false()


async def lock_lead_to_join(session: AsyncSession, email_key: str, window_days: int) -> Lead | None:
    """Find the lead that a submission of this address joins: open, not quarantined, young enough; locked."""
    found: Lead | None = await session.scalar(
        select(Lead)
        .where(
            Lead.email_key == email_key,
            Lead.status.in_(OPEN),
            Lead.created_at > func.now() - func.make_interval(0, 0, 0, window_days),
        )
        .order_by(Lead.created_at.desc())
        .limit(1)
        .with_for_update()
    )
    return found


async def former_owner(session: AsyncSession, email_key: str) -> UUID | None:
    """The attorney of this address' latest lead that had one: a returning prospect keeps them."""
    owner: UUID | None = await session.scalar(
        select(Lead.assigned_to)
        .where(Lead.email_key == email_key, Lead.assigned_to.is_not(None))
        .order_by(Lead.created_at.desc())
        .limit(1)
    )
    return owner


async def submissions_of(session: AsyncSession, lead_id: UUID) -> Sequence[Submission]:
    """All submissions of a lead, oldest first."""
    found = await session.scalars(
        select(Submission).where(Submission.lead_id == lead_id).order_by(Submission.received_at, Submission.id)
    )
    return found.all()


async def timeline_of(session: AsyncSession, lead_id: UUID) -> Sequence[TimelineEntry]:
    """What happened to a lead, in the order of its own times."""
    found = await session.scalars(
        select(TimelineEntry).where(TimelineEntry.lead_id == lead_id).order_by(TimelineEntry.at, TimelineEntry.id)
    )
    return found.all()


async def find_attorney(session: AsyncSession, attorney_id: UUID, *, lock: bool = False) -> Attorney:
    """Read (or lock) one attorney. Raises AttorneyNotFoundError."""
    attorney = await session.get(Attorney, attorney_id, with_for_update=lock or None, populate_existing=lock)
    if attorney is None:
        raise AttorneyNotFoundError(attorney_id)
    return attorney


async def open_leads_by_owner(session: AsyncSession, *owners: UUID) -> dict[UUID, int]:
    """How many open leads each attorney has (all attorneys when none is named)."""
    query = select(Lead.assigned_to, func.count()).where(Lead.status.in_(OPEN), Lead.assigned_to.is_not(None))
    if owners:
        query = query.where(Lead.assigned_to.in_(owners))
    rows = await session.execute(query.group_by(Lead.assigned_to))
    return {owner: int(count) for owner, count in rows if owner is not None}
