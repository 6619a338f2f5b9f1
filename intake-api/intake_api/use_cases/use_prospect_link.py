"""What a prospect does with the link that was mailed to them: see where they stand, withdraw, have all erased.

The link is of an address: of all leads that have it, but for those merged into the lead of another address, which
staff know to be of the same person and strangers could claim to be.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from service_chassis.database import Sessions
from sqlalchemy import ColumnElement, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from intake_api import audit, repository
from intake_api.exceptions import DataKeptError, LeadNotFoundError, LegalHoldError, LinkNotFoundError, NotDueError
from intake_api.lead_status import OPEN, LeadStatus
from intake_api.link_models import ProspectLink
from intake_api.models import Lead
from intake_api.use_cases.change_lead import close_lead, discard_lead
from intake_api.use_cases.erase_lead import HashRecipient, erase_lead
from intake_api.use_cases.request_link import ACTOR


class Standing(StrEnum):
    """Where a lead is, as its prospect may know it: whether an attorney had time for it is not among them."""

    RECEIVED = "received"
    ANSWERED = "answered"
    ENGAGED = "engaged"
    CLOSED = "closed"


_STANDINGS = {
    LeadStatus.REACHED_OUT: Standing.ANSWERED,
    LeadStatus.RETAINED: Standing.ENGAGED,
    LeadStatus.DECLINED: Standing.CLOSED,
    LeadStatus.DISCARDED: Standing.CLOSED,
}


@dataclass(frozen=True)
class ProspectLead:
    """A lead as its prospect sees it. ``answered_at``: when the firm first wrote to them."""

    standing: Standing
    received_at: datetime
    answered_at: datetime | None


async def read_leads(sessions: Sessions, link_id: UUID) -> Sequence[ProspectLead]:
    """Tell where the leads are, oldest first. Raises LinkNotFoundError."""
    async with sessions.begin() as session:
        own = await _find(session, link_id)
        leads = await _seen(session, own.email_key)
        await audit.record_change(session, "get_prospect_leads", own.id, actor=ACTOR, detail={})
    return leads


async def withdraw_leads(sessions: Sessions, link_id: UUID) -> Sequence[ProspectLead]:
    """End what is open, as declined, and what waits in quarantine; what is over stays. Raises LinkNotFoundError."""
    async with sessions.begin() as session:
        own = await _find(session, link_id)
        await repository.lock_address(session, own.email_key)
        await _find(session, link_id)
        ids = await _ids(session, own.email_key)
        moves = {lead_id: await _withdraw(session, lead_id) for lead_id in ids}
        leads = await _seen(session, own.email_key)
        for lead_id, move in moves.items():
            if move is not None:
                await audit.record_change(session, "withdraw_lead", lead_id, actor=ACTOR, detail=move)
    return leads


async def erase_leads(sessions: Sessions, link_id: UUID, hash_recipient: HashRecipient) -> int:
    """Erase all that may be; returns how many leads. Raises LinkNotFoundError, and DataKeptError if some are left.

    The link's own lead, and with it the link, goes last: after a failure the same link finds what is left.
    """
    async with sessions() as session:
        own = await _find(session, link_id)
        ids = sorted(await _ids(session, own.email_key), key=lambda one: one == own.id)
    for lead_id in ids:
        try:
            is_live = exists().where(*_is_live(link_id))
            await erase_lead(sessions, lead_id, actor=ACTOR, hash_recipient=hash_recipient, only_if=is_live)
        except LegalHoldError:
            continue
        except NotDueError as error:
            raise LinkNotFoundError from error
    async with sessions() as session:
        if await session.scalar(select(exists().where(Lead.email_key == own.email_key))):
            raise DataKeptError  # held, or merged into a lead of another address
    return len(ids)


async def revoke_links(sessions: Sessions, lead_id: UUID) -> None:
    """Make all links of the lead's address worth nothing. Raises LeadNotFoundError."""
    async with sessions.begin() as session:
        email_key = await session.scalar(select(Lead.email_key).where(Lead.id == lead_id))
        if email_key is None:
            raise LeadNotFoundError(lead_id)
        of_address = select(Lead.id).where(Lead.email_key == email_key)
        revoked = update(ProspectLink).where(ProspectLink.lead_id.in_(of_address), ProspectLink.revoked_at.is_(None))
        await session.execute(revoked.values(revoked_at=func.now()))


def _is_live(link_id: UUID) -> tuple[ColumnElement[bool], ...]:
    return (
        ProspectLink.id == link_id,
        ProspectLink.revoked_at.is_(None),
        ProspectLink.expires_at > func.now(),
    )


async def _find(session: AsyncSession, link_id: UUID) -> Lead:
    """The lead whose link it is."""
    lead = await session.scalar(
        select(Lead).join(ProspectLink, ProspectLink.lead_id == Lead.id).where(*_is_live(link_id))
    )
    if lead is None:
        raise LinkNotFoundError
    audit.identify(ACTOR)
    return lead


async def _ids(session: AsyncSession, email_key: str) -> Sequence[UUID]:
    """In the one order in which leads are locked."""
    found = await session.scalars(select(Lead.id).where(Lead.email_key == email_key, Lead.merged_into.is_(None)))
    return sorted(found, key=lambda one: one.hex)


async def _seen(session: AsyncSession, email_key: str) -> Sequence[ProspectLead]:
    rows = await session.execute(
        select(Lead.status, Lead.created_at, Lead.reached_at)
        .where(Lead.email_key == email_key, Lead.merged_into.is_(None))
        .order_by(Lead.created_at, Lead.id)
    )
    return [
        ProspectLead(_STANDINGS.get(LeadStatus(row.status), Standing.RECEIVED), row.created_at, row.reached_at)
        for row in rows
    ]


async def _withdraw(session: AsyncSession, lead_id: UUID) -> dict[str, Any] | None:
    """End the lead; what the audit says of it, or None when it was over."""
    lead = await repository.lock_lead(session, lead_id)
    before = lead.status
    if before in OPEN:
        await close_lead(session, lead, LeadStatus.DECLINED, actor=ACTOR)
    elif before == LeadStatus.QUARANTINED:
        await discard_lead(session, lead, actor=ACTOR)
    else:
        return None
    await session.flush()
    return {"from": before, "to": lead.status, "epoch": lead.epoch}
