"""The relay is away: each due delivery says, once, that it waits for it. No attempt is burned."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from mailer_worker import transitions
from mailer_worker.delivery_events import say
from mailer_worker.models import IS_WAITING, RELAY_AWAY, Delivery
from mailer_worker.use_cases.claim_deliveries import DUE


async def await_relay(session: AsyncSession, limit: int) -> int:
    """Defer up to ``limit`` due deliveries that have not said so yet, oldest first. Returns how many."""
    due = await session.scalars(
        select(Delivery)
        .where(IS_WAITING, DUE, Delivery.reason.is_distinct_from(RELAY_AWAY))
        .order_by(Delivery.first_queued_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    deliveries = due.all()
    for delivery in deliveries:
        # A number of its own: intake-api applies a deferral only if its number is greater than the last one's.
        delivery.attempt += 1
        transitions.await_relay(delivery)
        await say(session, delivery)
    return len(deliveries)
