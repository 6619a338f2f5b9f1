"""The moves of a delivery, each one stated once. They change a row; the use cases decide and speak."""

from datetime import datetime

from shared_schemas.events import AttorneyRef

from mailer_worker.models import FINAL, RELAY_AWAY, Delivery, DeliveryState


def take_over(delivery: Delivery, first_name: str, last_name: str, address: str, attorney: AttorneyRef) -> None:
    """Use this contact and attorney for the next rendering. A frozen mail is not touched."""
    delivery.first_name, delivery.last_name, delivery.address = first_name, last_name, address
    delivery.attorney_id, delivery.attorney_name, delivery.attorney_email = attorney.id, attorney.name, attorney.email


def queue(delivery: Delivery, now: datetime) -> None:
    """Wanted (again): due at once, with the full time before it expires."""
    delivery.state, delivery.reason, delivery.smtp_code = DeliveryState.QUEUED, None, None
    delivery.cancel_requested = False
    delivery.first_queued_at, delivery.next_attempt_at, delivery.lease_until = now, None, None


def cancel(delivery: Delivery) -> None:
    """No longer wanted: a waiting delivery stops, a running attempt is not followed by another."""
    if delivery.state == DeliveryState.SENDING:
        delivery.cancel_requested = True
    elif delivery.state not in FINAL:
        delivery.state, delivery.reason, delivery.next_attempt_at = DeliveryState.CANCELLED, None, None
        unfreeze(delivery)


def defer(delivery: Delivery, reason: str, next_attempt_at: datetime) -> None:
    """Try again at ``next_attempt_at``."""
    delivery.state, delivery.reason, delivery.lease_until = DeliveryState.DEFERRED, reason, None
    delivery.next_attempt_at = next_attempt_at


def await_relay(delivery: Delivery) -> None:
    """Wait for the relay; nobody knows until when."""
    delivery.state, delivery.reason, delivery.lease_until = DeliveryState.DEFERRED, RELAY_AWAY, None
    delivery.next_attempt_at = None


def fail(delivery: Delivery, reason: str, smtp_code: int | None = None) -> None:
    """Not to be tried again without a person."""
    delivery.state, delivery.reason, delivery.smtp_code = DeliveryState.FAILED, reason, smtp_code
    delivery.lease_until = delivery.next_attempt_at = None


def mark_ambiguous(delivery: Delivery) -> None:
    """An attempt may have delivered the mail: from now on only the same bytes are sent."""
    delivery.ambiguous = True
    delivery.ambiguous_attempts += 1


def unmark_ambiguous(delivery: Delivery) -> None:
    """The attempt that was taken for lost is only late: how it ended is known now."""
    delivery.ambiguous_attempts -= 1
    delivery.ambiguous = delivery.ambiguous_attempts > 0


def unfreeze(delivery: Delivery) -> None:
    """Free the rendered mail, unless a copy of it may be out already."""
    if not delivery.ambiguous:
        delivery.mail = delivery.mail_recipient = delivery.mail_attorney_id = None


def erase(delivery: Delivery) -> None:
    """Forget the person now; the row stays until its attempt is over."""
    delivery.state = DeliveryState.ERASED
    delivery.first_name = delivery.last_name = delivery.address = None
    delivery.mail = delivery.mail_recipient = None
