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
        elif delivery.expires_at is not None and delivery.expires_at <= now:
            await _fail(session, delivery, "expired")
        elif await _freeze(session, delivery, writer, settings, now):
            attempts.append(_begin(delivery, writer, settings, now))
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
    try:
        delivery.mail = _write(delivery, writer, delivery.message_id, now)
    except Exception as error:
        log.error("mail_not_made", delivery_id=str(delivery.id), **telemetry.log_fields(error))
        await _fail(session, delivery, "refused" if isinstance(error, mail.UnsendableAddressError) else "held")
        return False
    delivery.mail_recipient, delivery.mail_attorney_id = delivery.address, delivery.attorney_id
    return True


def _write(delivery: Delivery, writer: mail.MailWriter, message_id: str, now: datetime) -> bytes:
    address = delivery.address or ""
    if delivery.expires_at is not None:
        return writer.write_link(mail.LinkMail(address, delivery.expires_at, message_id), now)
    content = mail.WelcomeMail(
        first_name=delivery.first_name or "",
        last_name=delivery.last_name or "",
        address=address,
        attorney_name=delivery.attorney_name or "",
        attorney_email=delivery.attorney_email or "",
        message_id=message_id,
    )
    return writer.write(content, now)


def _begin(delivery: Delivery, writer: mail.MailWriter, settings: MailerSettings, now: datetime) -> Attempt:
    assert delivery.mail is not None  # noqa: S101 - frozen just now
    assert delivery.mail_recipient is not None  # noqa: S101 - same
    delivery.state = DeliveryState.SENDING
    delivery.attempt += 1
    delivery.attempts_made += 1
    delivery.next_attempt_at = None
    delivery.lease_until = now + timedelta(seconds=settings.smtp_lease)
    content = delivery.mail
    if delivery.request_id is not None and delivery.expires_at is not None:
        content = writer.with_token(content, delivery.request_id, delivery.expires_at)
    outgoing = OutgoingMail(settings.from_address, delivery.mail_recipient, content)
    return Attempt(delivery.id, delivery.attempt, outgoing, delivery.trace_id)


async def _fail(session: AsyncSession, delivery: Delivery, reason: str) -> None:
    transitions.fail(delivery, reason)
    await say(session, delivery)
    metrics.MAILS.labels(f"failed_{reason}").inc()
