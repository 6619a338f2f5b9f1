"""A lead's personal data must go; a tombstone stays (docs/design.md, invariant 9).

The rows go at once, except that of an attempt under way: it loses its contact data, its sender finds it gone
before DATA, and `finish_erasures` deletes it when the attempt is over or its lease has run out. Only then is
LeadDataErased said.
"""

from typing import Any, cast

from service_chassis import outbox
from service_chassis.telemetry import current_trace_id
from shared_schemas.events import LeadDataErased, LeadErased
from sqlalchemy import CursorResult, delete, exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from mailer_worker import repository, transitions
from mailer_worker.models import HAS_LEASE, Delivery, DeliveryState, ErasedLead, OutreachCancellation

SERVICE = "mailer-worker"


async def erase_lead(session: AsyncSession, event: LeadErased) -> None:
    """Erase the lead, or say again that it is erased."""
    tombstone = await repository.lock_lead(session, event.lead_id)
    if tombstone is not None:
        if tombstone.completed_at is not None:
            await _say(session, tombstone)
        return
    tombstone = ErasedLead(lead_id=event.lead_id, counts={}, trace_id=current_trace_id())
    session.add(tombstone)
    now = await repository.database_now(session)
    deliveries = await session.scalars(select(Delivery).where(Delivery.lead_id == event.lead_id).with_for_update())
    running = False
    for delivery in deliveries:
        if delivery.state == DeliveryState.SENDING and delivery.lease_until is not None and delivery.lease_until > now:
            transitions.erase(delivery)
            running = True
    await session.flush()
    cancellations = delete(OutreachCancellation).where(OutreachCancellation.lead_id == event.lead_id)
    tombstone.counts = {
        "deliveries": await _delete_deliveries(session, event, DeliveryState.ERASED),
        "outreach_cancellations": cast(CursorResult[Any], await session.execute(cancellations)).rowcount,
    }
    if not running:
        await _complete(session, tombstone)


async def finish_erasures(session: AsyncSession) -> None:
    """Complete the erasures whose last attempt is over, or out of its lease."""
    still_running = exists().where(HAS_LEASE, Delivery.lead_id == ErasedLead.lead_id, Delivery.lease_until > func.now())
    pending = select(ErasedLead).where(ErasedLead.completed_at.is_(None), ~still_running)
    for tombstone in await session.scalars(pending.with_for_update(skip_locked=True)):
        await _complete(session, tombstone)


async def release_erased(session: AsyncSession, delivery_id: object, attempt: int) -> None:
    """An attempt has ended whose delivery was erased meanwhile: its lease is over."""
    delivery = await session.scalar(
        select(Delivery)
        .where(Delivery.id == delivery_id, Delivery.attempt == attempt, Delivery.state == DeliveryState.ERASED)
        .with_for_update()
    )
    if delivery is not None:
        delivery.lease_until = None


async def _complete(session: AsyncSession, tombstone: ErasedLead) -> None:
    rest = delete(Delivery).where(Delivery.lead_id == tombstone.lead_id)
    deleted = cast(CursorResult[Any], await session.execute(rest)).rowcount
    tombstone.counts = {
        **tombstone.counts,
        "deliveries": tombstone.counts.get("deliveries", 0) + deleted,
        "outbox": await outbox.forget_lead(session, tombstone.lead_id),
    }
    tombstone.completed_at = await repository.database_now(session)
    await _say(session, tombstone)


async def _delete_deliveries(session: AsyncSession, event: LeadErased, but: DeliveryState) -> int:
    statement = delete(Delivery).where(Delivery.lead_id == event.lead_id, Delivery.state != but)
    return cast(CursorResult[Any], await session.execute(statement)).rowcount


async def _say(session: AsyncSession, tombstone: ErasedLead) -> None:
    event = LeadDataErased(lead_id=tombstone.lead_id, service=SERVICE, counts=tombstone.counts)
    await outbox.add(session, event, correlation_id=tombstone.trace_id)
