"""A lead was assigned: store the delivery of its welcome mail. Nothing is sent here."""

from service_chassis.telemetry import current_trace_id
from shared_schemas.events import LeadAssigned
from shared_schemas.order import Arrival, Place
from sqlalchemy.ext.asyncio import AsyncSession

from mailer_worker import repository, transitions
from mailer_worker.delivery_events import say
from mailer_worker.models import FINAL, Delivery, DeliveryState

KIND = "welcome"


async def store_delivery(session: AsyncSession, event: LeadAssigned) -> None:
    """Make one delivery per lead, whatever the number and order of assignments.

    A newer assignment changes the attorney of a mail that is not frozen, and queues a cancelled one again if its
    epoch is past the cancellation; a finished delivery says its final event again. An equal one says the last
    event again, an older one has no effect.
    """
    if await repository.lock_lead(session, event.lead_id):
        return
    place = Place(event.epoch, event.decision)
    delivery = await repository.current_delivery(session, event.lead_id, KIND)
    if delivery is None:
        await _store_first(session, event, place)
        return
    arrival = place.meets(delivery.place)
    if arrival is Arrival.STALE:
        return
    if arrival is Arrival.NEWER:
        delivery.place = place
        if event.outreach:
            await _apply(session, delivery, event)
    if arrival is Arrival.REPEAT or delivery.state in FINAL:
        await say(session, delivery)


async def _store_first(session: AsyncSession, event: LeadAssigned, place: Place) -> None:
    if not event.outreach or await repository.cancelled_up_to(session, event.lead_id, KIND) >= event.epoch:
        return
    delivery = Delivery(
        lead_id=event.lead_id, kind=KIND, epoch=place.epoch, decision=place.decision, trace_id=current_trace_id()
    )
    transitions.take_over(delivery, event.first_name, event.last_name, event.email, event.attorney)
    transitions.queue(delivery, await repository.database_now(session))
    session.add(delivery)
    await repository.wake_senders(session)


async def _apply(session: AsyncSession, delivery: Delivery, event: LeadAssigned) -> None:
    if delivery.state in FINAL:
        return
    transitions.take_over(delivery, event.first_name, event.last_name, event.email, event.attorney)
    if await repository.cancelled_up_to(session, event.lead_id, KIND) >= event.epoch:
        return
    delivery.cancel_requested = False
    if delivery.state == DeliveryState.CANCELLED:
        transitions.queue(delivery, await repository.database_now(session))
        await repository.wake_senders(session)
