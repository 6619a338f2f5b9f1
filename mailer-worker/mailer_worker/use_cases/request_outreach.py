"""Staff ask for a mail, again or for the first time."""

from service_chassis.telemetry import current_trace_id
from shared_schemas.events import OutreachRequested
from shared_schemas.order import Place
from sqlalchemy.ext.asyncio import AsyncSession

from mailer_worker import repository, transitions
from mailer_worker.delivery_events import say
from mailer_worker.models import FINAL, RELAY_AWAY, Delivery, DeliveryState


async def request_outreach(session: AsyncSession, event: OutreachRequested, suppression_key: bytes) -> None:
    """Queue a failed, held or cancelled delivery again; make the next sequence of a sent one; hurry a deferred one.

    A sent one that was not yet known to be sent is what was asked for: it says so again. One effect per
    ``request_id``. A person's word lifts the suppression of the address, and outweighs a cancellation of the same
    epoch, but not a later one.
    """
    if await repository.lock_lead(session, event.lead_id):
        return
    if await repository.cancelled_up_to(session, event.lead_id, event.kind) > event.epoch:
        return
    delivery = await repository.current_delivery(session, event.lead_id, event.kind)
    if delivery is not None and (delivery.request_id == event.request_id or _is_sent_unknown(event, delivery)):
        await say(session, delivery)
        return
    await repository.lift_suppression(session, suppression_key, event.email)
    if delivery is None or delivery.state == DeliveryState.SENT:
        delivery = _next_sequence(session, event, delivery)
    elif delivery.state in (*FINAL, DeliveryState.CANCELLED):
        transitions.queue(delivery, await repository.database_now(session))
    elif delivery.state == DeliveryState.DEFERRED and delivery.reason != RELAY_AWAY:
        delivery.next_attempt_at = await repository.database_now(session)
    delivery.cancel_requested = False
    delivery.request_id = event.request_id
    if event.epoch >= delivery.epoch or delivery.address is None:
        transitions.take_over(delivery, event.first_name, event.last_name, event.email, event.attorney)
    if delivery.first_queued_at is None:
        transitions.queue(delivery, await repository.database_now(session))
    await repository.wake_senders(session)


def _is_sent_unknown(event: OutreachRequested, delivery: Delivery) -> bool:
    is_told = "after_delivery_id" in event.model_fields_set  # a message older than the field tells nothing
    return delivery.state == DeliveryState.SENT and is_told and event.after_delivery_id != delivery.id


def _next_sequence(session: AsyncSession, event: OutreachRequested, sent: Delivery | None) -> Delivery:
    place = Place(event.epoch, 0)
    if sent is not None:
        place = max(place, sent.place)
    delivery = Delivery(
        lead_id=event.lead_id,
        kind=event.kind,
        sequence=1 if sent is None else sent.sequence + 1,
        epoch=place.epoch,
        decision=place.decision,
        trace_id=current_trace_id(),
    )
    transitions.take_over(delivery, event.first_name, event.last_name, event.email, event.attorney)
    session.add(delivery)
    return delivery
