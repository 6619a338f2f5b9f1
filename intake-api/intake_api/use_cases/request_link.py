"""Somebody asks for the private link of an address. Whether we know the address, only its mailbox is told.

The request does the same for every address: it stores a wish. intake-worker looks afterwards whose it is, so that
neither the answer nor the time it takes can tell.
"""

from uuid import UUID

from service_chassis import outbox
from service_chassis.database import Sessions
from shared_schemas.events import ProspectLinkRequested
from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from intake_api import repository, timeline
from intake_api.link_models import ProspectLink
from intake_api.models import Lead

ACTOR = "prospect"
BATCH = 200


async def request_link(sessions: Sessions, email_key: str, lifetime: float) -> None:
    """Store the wish for a link that holds for ``lifetime`` seconds."""
    expires_at = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, lifetime)
    async with sessions.begin() as session:
        await session.execute(insert(ProspectLink).values(email_key=email_key, expires_at=expires_at))


async def answer_wishes(sessions: Sessions) -> None:
    """Make links of the oldest wishes, and have their mails sent; forget those for addresses that nobody knows."""
    oldest = select(ProspectLink.id).where(ProspectLink.email_key.is_not(None)).order_by(ProspectLink.requested_at)
    async with sessions() as session:
        wishes = (await session.scalars(oldest.limit(BATCH))).all()
    for link_id in wishes:
        async with sessions.begin() as session:
            await _answer(session, link_id)


async def forget_links(sessions: Sessions) -> None:
    """Delete links whose time is over, by the database's clock."""
    async with sessions.begin() as session:
        await session.execute(delete(ProspectLink).where(ProspectLink.expires_at < func.now()))


async def _answer(session: AsyncSession, link_id: UUID) -> None:
    email_key = await session.scalar(select(ProspectLink.email_key).where(ProspectLink.id == link_id))
    if email_key is None:
        return
    await repository.lock_address(session, email_key)
    link = await session.get(ProspectLink, link_id, with_for_update=True)
    if link is None or link.email_key is None:
        return
    lead = await session.scalar(
        select(Lead)
        .where(Lead.email_key == link.email_key, Lead.merged_into.is_(None))
        .order_by(Lead.created_at.desc())
        .limit(1)
    )
    if lead is None:
        await session.delete(link)
        return
    link.lead_id, link.email_key = lead.id, None
    event = ProspectLinkRequested(link_id=link.id, lead_id=lead.id, email=lead.email, expires_at=link.expires_at)
    event_id = await outbox.add(session, event, correlation_id=lead.trace_id)
    await timeline.record(session, lead.id, "prospect-link.requested", actor=ACTOR, detail={}, event_id=str(event_id))
