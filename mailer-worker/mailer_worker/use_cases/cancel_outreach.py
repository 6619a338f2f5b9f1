"""The mail is no longer wanted for any assignment up to an epoch."""

from shared_schemas.events import OutreachCancelled
from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from mailer_worker import repository, transitions
from mailer_worker.models import OutreachCancellation


async def cancel_outreach(session: AsyncSession, event: OutreachCancelled) -> None:
    """Stop what waits, let no attempt follow a running one, and remember it, for a lead not heard of yet too.

    A delivery of a later epoch is wanted again and goes on.
    """
    if await repository.lock_lead(session, event.lead_id):
        return
    statement = insert(OutreachCancellation).values(lead_id=event.lead_id, kind=event.kind, epoch=event.epoch)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["lead_id", "kind"],
            set_={"epoch": func.greatest(OutreachCancellation.epoch, statement.excluded.epoch)},
        )
    )
    delivery = await repository.current_delivery(session, event.lead_id, event.kind)
    if delivery is not None and delivery.epoch <= event.epoch:
        transitions.cancel(delivery)
