"""A prospect's link was asked for: store the delivery of its mail. Nothing is sent here."""

from service_chassis.telemetry import current_trace_id
from shared_schemas.events import ProspectLinkRequested
from sqlalchemy.ext.asyncio import AsyncSession

from mailer_worker import repository, transitions
from mailer_worker.models import PROSPECT_LINK, Delivery


async def store_link_delivery(session: AsyncSession, event: ProspectLinkRequested) -> None:
    """Make one delivery per link, the next sequence of its kind. An erased lead gets none.

    No cancellation stops it: that the firm wants no welcome mail sent is no reason not to answer the prospect.
    """
    if await repository.lock_lead(session, event.lead_id):
        return
    latest = await repository.current_delivery(session, event.lead_id, PROSPECT_LINK)
    if latest is not None and await repository.has_delivery_of(session, event.lead_id, event.link_id):
        return
    delivery = Delivery(
        lead_id=event.lead_id,
        kind=PROSPECT_LINK,
        sequence=1 if latest is None else latest.sequence + 1,
        epoch=0,
        decision=0,
        request_id=event.link_id,
        expires_at=event.expires_at,
        address=event.email,
        trace_id=current_trace_id(),
    )
    transitions.queue(delivery, await repository.database_now(session))
    session.add(delivery)
    await repository.wake_senders(session)
