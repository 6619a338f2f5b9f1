"""Take due deliveries for sending: ``sending``, its number, its lease and the rendered mail in one commit.

The commit comes before any connection is made: a process that dies after it leaves a row that tells so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from service_chassis import telemetry
from sqlalchemy import and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from mailer_worker import mail, metrics, repository, transitions
from mailer_worker.delivery_events import say
from mailer_worker.mail_sender import OutgoingMail
from mailer_worker.models import IS_WAITING, Delivery, DeliveryState
from mailer_worker.settings import MailerSettings

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Attempt:
    """One attempt at one delivery: what to send, and the number that guards its writes."""

    delivery_id: UUID
    number: int
    mail: OutgoingMail
    trace_id: str


DUE = or_(
    Delivery.state == DeliveryState.QUEUED,
    and_(
        Delivery.state == DeliveryState.DEFERRED,
        or_(Delivery.next_attempt_at.is_(None), Delivery.next_attempt_at <= func.now()),
    ),
)
"""Of those that wait, the deliveries that would be sent now if the relay is there."""


async def claim_deliveries(
    session: AsyncSession, writer: mail.MailWriter, settings: MailerSettings, limit: int
) -> list[Attempt]:
    """Begin up to ``limit`` attempts at due deliveries, oldest first. No two callers get the same one."""
    due = await session.scalars(
        select(Delivery)
        .where(IS_WAITING, DUE)
        .order_by(Delivery.first_queued_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    deliveries = due.all()
    if not deliveries:
        return []
    now = await repository.database_now(session)
    suppressed = await _suppressed_among(session, settings.suppression_key, deliveries)
    attempts = []
    for delivery in deliveries:
        if delivery.id in suppressed:
            await _fail(session, delivery, "suppressed")
        elif await _freeze(session, delivery, writer, settings, now):
            attempts.append(_begin(delivery, settings, now))
    return attempts


async def _suppressed_among(session: AsyncSession, key: bytes, deliveries: Sequence[Delivery]) -> set[UUID]:
    addresses = {delivery.id: delivery.mail_recipient or delivery.address or "" for delivery in deliveries}
    hashes = await repository.suppressed_among(session, key, addresses.values())
    return {one for one, address in addresses.items() if repository.address_hash(key, address) in hashes}


async def _freeze(
    session: AsyncSession, delivery: Delivery, writer: mail.MailWriter, settings: MailerSettings, now: datetime
) -> bool:
    """Render the mail, unless it is fixed. A mail that cannot be made fails for itself, not for its neighbours."""
    if delivery.mail is not None:
        return True
    delivery.message_id = mail.message_id(delivery.id, delivery.sequence, settings.id_domain)
    content = mail.WelcomeMail(
        first_name=delivery.first_name or "",
        last_name=delivery.last_name or "",
        address=delivery.address or "",
        attorney_name=delivery.attorney_name,
        attorney_email=delivery.attorney_email,
        message_id=delivery.message_id,
    )
    try:
        delivery.mail = writer.write(content, now)
    except Exception as error:
        log.error("mail_not_made", delivery_id=str(delivery.id), **telemetry.log_fields(error))
        await _fail(session, delivery, "refused" if isinstance(error, mail.UnsendableAddressError) else "held")
        return False
    delivery.mail_recipient, delivery.mail_attorney_id = delivery.address, delivery.attorney_id
    return True


def _begin(delivery: Delivery, settings: MailerSettings, now: datetime) -> Attempt:
    assert delivery.mail is not None  # noqa: S101 - frozen just now
    assert delivery.mail_recipient is not None  # noqa: S101 - same
    delivery.state = DeliveryState.SENDING
    delivery.attempt += 1
    delivery.attempts_made += 1
    delivery.next_attempt_at = None
    delivery.lease_until = now + timedelta(seconds=settings.smtp_lease)
    outgoing = OutgoingMail(settings.from_address, delivery.mail_recipient, delivery.mail)
    return Attempt(delivery.id, delivery.attempt, outgoing, delivery.trace_id)


async def _fail(session: AsyncSession, delivery: Delivery, reason: str) -> None:
    transitions.fail(delivery, reason)
    await say(session, delivery)
    metrics.MAILS.labels(f"failed_{reason}").inc()
