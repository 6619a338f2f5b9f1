"""State of the mailer: one delivery per lead, kind, recipient and sequence, and what stops one.

A delivery goes ``queued -> sending -> sent | deferred | failed | cancelled | erased``. ``ambiguous`` is a flag:
an attempt died between the start of DATA and the commit of ``sent``, so nobody knows (docs/design.md, invariant 7).
"""

from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid4

from service_chassis import failures, inbox, outbox
from service_chassis.database import NAMING_CONVENTION, chassis_metadata
from shared_schemas.order import Place
from sqlalchemy import (
    CheckConstraint,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

PROSPECT = "prospect"
"""The recipient of a welcome mail: a role, not an address, so that a corrected address makes no second mail."""

PROSPECT_LINK = "prospect_link"
"""The kind of mail that holds a prospect's private link. Of what becomes of it nobody is told: it moves no lead."""


class Base(DeclarativeBase):
    """The mailer's own tables."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {datetime: DateTime(timezone=True), str: Text, UUID: Uuid, bytes: LargeBinary}  # noqa: RUF012 - as SQLAlchemy wants it


class DeliveryState(StrEnum):
    """Where a delivery is."""

    QUEUED = "queued"
    SENDING = "sending"
    DEFERRED = "deferred"
    SENT = "sent"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ERASED = "erased"


FINAL = (DeliveryState.SENT, DeliveryState.FAILED)
"""States that only a person's request leaves."""

RELAY_AWAY = "relay_away"
"""The reason of a delivery that waits for the relay: it has no next attempt, and has said so."""


IS_WAITING = text("deliveries.state IN ('queued', 'deferred')")
HAS_LEASE = text("deliveries.state IN ('sending', 'erased')")
"""Written out, not as parameters: a generic plan finds a partial index only by its own words."""


class Delivery(Base):
    """One mail to one recipient.

    ``attempt`` numbers its turns (attempts, and waits for the relay): it guards every write of an attempt and only
    grows. ``attempts_made`` counts the turns in which the relay took part. The ``mail_*`` columns are the rendered
    mail, frozen when ``sending`` is committed. ``request_id``: the request or the link that the delivery was made for.
    A mail of a link has no attorney, is worth nothing after ``expires_at``, and is frozen with a mark where the token
    goes (`link_mail`).
    """

    __tablename__ = "deliveries"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    lead_id: Mapped[UUID]
    kind: Mapped[str]
    recipient: Mapped[str] = mapped_column(default=PROSPECT)
    sequence: Mapped[int] = mapped_column(Integer, default=1)
    epoch: Mapped[int]
    decision: Mapped[int]

    state: Mapped[str] = mapped_column(default=DeliveryState.QUEUED)
    reason: Mapped[str | None]
    ambiguous: Mapped[bool] = mapped_column(default=False)
    ambiguous_attempts: Mapped[int] = mapped_column(default=0)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    attempt: Mapped[int] = mapped_column(default=0)
    attempts_made: Mapped[int] = mapped_column(default=0)
    first_queued_at: Mapped[datetime] = mapped_column(default=func.now())
    next_attempt_at: Mapped[datetime | None]
    lease_until: Mapped[datetime | None]
    changed_at: Mapped[datetime] = mapped_column(default=func.now(), onupdate=func.now())

    first_name: Mapped[str | None]
    last_name: Mapped[str | None]
    address: Mapped[str | None]
    attorney_id: Mapped[UUID | None]
    attorney_name: Mapped[str | None]
    attorney_email: Mapped[str | None]

    mail: Mapped[bytes | None]
    mail_recipient: Mapped[str | None]
    mail_attorney_id: Mapped[UUID | None]
    message_id: Mapped[str | None]

    smtp_code: Mapped[int | None]
    sent_at: Mapped[datetime | None]
    request_id: Mapped[UUID | None]
    expires_at: Mapped[datetime | None]
    trace_id: Mapped[str]

    __table_args__ = (
        UniqueConstraint("lead_id", "kind", "recipient", "sequence"),
        CheckConstraint(
            "state IN ('queued', 'sending', 'deferred', 'sent', 'failed', 'cancelled', 'erased')", name="state"
        ),
        Index("ix_deliveries_waiting", "first_queued_at", postgresql_where=text("state IN ('queued', 'deferred')")),
        Index("ix_deliveries_leased", "lease_until", postgresql_where=text("state IN ('sending', 'erased')")),
        Index("ix_deliveries_finished", "changed_at", postgresql_where=text("address IS NOT NULL")),
    )

    @property
    def place(self) -> Place:
        """Where in the lead's history this delivery's contact and attorney come from."""
        return Place(self.epoch, self.decision)

    @place.setter
    def place(self, place: Place) -> None:
        self.epoch, self.decision = place.epoch, place.decision


class OutreachCancellation(Base):
    """No mail of this kind for any assignment up to ``epoch``; kept for leads not heard of yet, too."""

    __tablename__ = "outreach_cancellations"

    lead_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    epoch: Mapped[int]
    cancelled_at: Mapped[datetime] = mapped_column(default=func.now())


class Suppression(Base):
    """An address that the relay refused for good at RCPT: a hash with a key, so that the list names nobody."""

    __tablename__ = "suppressions"

    address_hash: Mapped[bytes] = mapped_column(primary_key=True)
    reason: Mapped[str]
    smtp_code: Mapped[int | None]
    suppressed_at: Mapped[datetime] = mapped_column(default=func.now())


class ErasedLead(Base):
    """A tombstone: final. ``completed_at`` is empty while an attempt of the lead may still be running."""

    __tablename__ = "erased_leads"

    lead_id: Mapped[UUID] = mapped_column(primary_key=True)
    requested_at: Mapped[datetime] = mapped_column(default=func.now())
    completed_at: Mapped[datetime | None]
    counts: Mapped[dict[str, int]] = mapped_column(JSONB)
    trace_id: Mapped[str]

    __table_args__ = (Index("ix_erased_leads_pending", "requested_at", postgresql_where=text("completed_at IS NULL")),)


CHASSIS_TABLES = (outbox.outbox, inbox.inbox, failures.failures, failures.delivery_marks)
"""Named here because `chassis_metadata` knows a table only once its module is imported."""

metadata = [Base.metadata, chassis_metadata]
