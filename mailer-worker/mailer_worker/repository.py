"""Reads and locks of the mailer's state. Nothing here commits."""

import hmac
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from mailer_worker.models import PROSPECT, Delivery, ErasedLead, OutreachCancellation, Suppression

CHANNEL = "deliveries"
"""The NOTIFY channel that wakes senders."""

_LOCK_LEAD = text("SELECT pg_advisory_xact_lock(hashtextextended(:lead_id, 0))")


async def lock_lead(session: AsyncSession, lead_id: UUID) -> ErasedLead | None:
    """Take the lead for this transaction: its messages are handled one at a time. Returns its tombstone, if any."""
    await session.execute(_LOCK_LEAD, {"lead_id": f"lead {lead_id}"})
    return await session.get(ErasedLead, lead_id)


async def current_delivery(session: AsyncSession, lead_id: UUID, kind: str) -> Delivery | None:
    """The latest delivery of this kind to the prospect, locked against the sender."""
    return await session.scalar(
        select(Delivery)
        .where(Delivery.lead_id == lead_id, Delivery.kind == kind, Delivery.recipient == PROSPECT)
        .order_by(Delivery.sequence.desc())
        .limit(1)
        .with_for_update()
    )


async def has_delivery_of(session: AsyncSession, lead_id: UUID, request_id: UUID) -> bool:
    """Whether the lead has a delivery that was made for this request."""
    found = select(Delivery.id).where(Delivery.lead_id == lead_id, Delivery.request_id == request_id)
    return await session.scalar(found) is not None


async def cancelled_up_to(session: AsyncSession, lead_id: UUID, kind: str) -> int:
    """The greatest epoch for which this kind of mail was cancelled; -1: none."""
    cancellation = await session.get(OutreachCancellation, (lead_id, kind))
    return -1 if cancellation is None else cancellation.epoch


async def wake_senders(session: AsyncSession) -> None:
    """Wake the senders of all processes when this transaction commits."""
    await session.execute(select(func.pg_notify(CHANNEL, "")))


async def database_now(session: AsyncSession) -> datetime:
    """The time of this transaction: leases and due times are database time, whatever a host's clock says."""
    return (await session.execute(select(func.now()))).scalar_one()


def address_hash(key: bytes, address: str) -> bytes:
    """How an address is written in the suppression list: without the key nobody can try addresses against it."""
    return hmac.digest(key, address.strip().lower().encode(), "sha256")


async def suppressed_among(session: AsyncSession, key: bytes, addresses: Iterable[str]) -> set[bytes]:
    """The hashes of those addresses that are suppressed."""
    hashes = {address_hash(key, address) for address in addresses}
    found = await session.scalars(select(Suppression.address_hash).where(Suppression.address_hash.in_(hashes)))
    return set(found)


async def suppress(session: AsyncSession, key: bytes, address: str, reason: str, smtp_code: int | None) -> None:
    """Mail this address no more, until a person asks for it."""
    values = {"address_hash": address_hash(key, address), "reason": reason, "smtp_code": smtp_code}
    await session.execute(insert(Suppression).values(values).on_conflict_do_nothing())


async def lift_suppression(session: AsyncSession, key: bytes, address: str) -> None:
    """A person asked for a mail to this address: try it again."""
    await session.execute(delete(Suppression).where(Suppression.address_hash == address_hash(key, address)))
