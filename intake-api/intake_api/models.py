"""State of intake-api: leads and what was submitted, staff, attorneys, timeline, dead letters."""

from datetime import datetime
from typing import Any
from uuid import UUID

from service_chassis.database import chassis_metadata
from service_chassis.failures import delivery_marks, failures
from service_chassis.inbox import inbox
from service_chassis.outbox import outbox
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    UniqueConstraint,
    func,
    literal_column,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from intake_api import account_models, audit_models, erasure_models, form_models, link_models, receipt_models
from intake_api.declarative import Base

CHASSIS_TABLES = (outbox, inbox, failures, delivery_marks)
OTHER_MODELS = (account_models, audit_models, erasure_models, form_models, link_models, receipt_models)
"""Where more tables of this service are; importing them is what adds them to `metadata`."""


LEAD_SEARCH_TEXT = "lower(leads.first_name || ' ' || leads.last_name || ' ' || leads.email)"
"""What a list is searched in; the words of ix_leads_search, so that it is found."""


class Lead(Base):
    """A prospect and where they stand.

    ``epoch`` counts people's decisions, ``decision`` is the greatest decision number heard from the
    assignment-worker. ``outreach_*`` is what the mailer last said of the welcome mail.
    """

    __tablename__ = "leads"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    first_name: Mapped[str]
    last_name: Mapped[str]
    email: Mapped[str]
    email_key: Mapped[str]
    practice_area: Mapped[str | None]
    language: Mapped[str | None]
    status: Mapped[str]
    quarantine_reasons: Mapped[list[str]] = mapped_column(server_default=text("'[]'"))
    released_at: Mapped[datetime | None]
    merged_into: Mapped[UUID | None] = mapped_column(ForeignKey("leads.id"))
    epoch: Mapped[int] = mapped_column(Integer, server_default="0")
    decision: Mapped[int] = mapped_column(Integer, server_default="0")
    assigned_to: Mapped[UUID | None] = mapped_column(ForeignKey("attorneys.id"))
    reached_out_by: Mapped[UUID | None] = mapped_column(ForeignKey("attorneys.id"))
    reached_at: Mapped[datetime | None]
    waiting_reason: Mapped[str | None]
    waiting_since: Mapped[datetime | None]
    outreach_delivery_id: Mapped[UUID | None]
    outreach_attempt: Mapped[int | None]
    outreach_next_at: Mapped[datetime | None]
    outreach_reason: Mapped[str | None]
    outreach_final: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    trace_id: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())

    __table_args__ = (
        CheckConstraint(
            "status IN ('quarantined', 'discarded', 'registered', 'assigned', 'reached_out', "
            "'outreach_failed', 'retained', 'declined')",
            name="status",
        ),
        Index("ix_leads_newest", text("created_at DESC"), text("id DESC")),
        Index("ix_leads_email_key", "email_key", text("created_at DESC")),
        Index(
            "ix_leads_search",
            # Bracketed as PostgreSQL writes it back: migrations are compared by their text.
            literal_column("lower((((first_name || ' ') || last_name) || ' ') || email)").label("search_text"),
            postgresql_using="gin",
            postgresql_ops={"search_text": "gin_trgm_ops"},
        ),
        Index(
            "ix_leads_open_by_owner",
            "assigned_to",
            postgresql_where=text("status IN ('registered', 'assigned', 'reached_out', 'outreach_failed')"),
        ),
    )


class Submission(Base):
    """One POST: what was typed, and its resume object.

    Of a row only ``lead_id`` (merged, unlinked), what is known of the resume's safety, and the resume itself (by the
    prospect's private link) ever change.
    """

    __tablename__ = "submissions"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    lead_id: Mapped[UUID] = mapped_column(ForeignKey("leads.id"), index=True)
    first_name: Mapped[str]
    last_name: Mapped[str]
    email: Mapped[str]
    resume_key: Mapped[str] = mapped_column(unique=True)
    resume_sha256: Mapped[str]
    resume_size: Mapped[int] = mapped_column(BigInteger)
    resume_type: Mapped[str]
    resume_filename: Mapped[str]
    resume_state: Mapped[str] = mapped_column(server_default="accepted")
    resume_flags: Mapped[list[str]] = mapped_column(server_default=text("'[]'"))
    phone: Mapped[str | None]
    message: Mapped[str | None]
    practice_area: Mapped[str | None]
    language: Mapped[str | None]
    source: Mapped[str | None]
    referrer: Mapped[str | None]
    campaign: Mapped[str | None]
    consent_version: Mapped[str | None]
    consent_text: Mapped[str | None]
    consent_at: Mapped[datetime | None]
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        CheckConstraint("resume_state IN ('accepted', 'flagged', 'quarantined', 'withdrawn')", name="resume_state"),
        Index("ix_submissions_quarantined", "received_at", postgresql_where=text("resume_state = 'quarantined'")),
    )


class LeadNote(Base):
    """What staff wrote down about a lead. Never in an event, never in a mail."""

    __tablename__ = "lead_notes"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    lead_id: Mapped[UUID] = mapped_column(ForeignKey("leads.id", ondelete="CASCADE"))
    author: Mapped[str]
    text: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index("ix_lead_notes_lead_id_created_at", "lead_id", "created_at", "id"),)


class IdempotencyKey(Base):
    """A claim on an Idempotency-Key: hashes only, nothing that was typed.

    Running while ``submission_id`` is null; ``lease_until`` (database time) says how long.
    """

    __tablename__ = "idempotency_keys"

    key_hash: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    claim: Mapped[UUID]
    lease_until: Mapped[datetime]
    submission_id: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)


class Attorney(Base):
    """An attorney: identity and availability are owned here, and said to others by version."""

    __tablename__ = "attorneys"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    name: Mapped[str]
    email: Mapped[str] = mapped_column(unique=True)
    available: Mapped[bool]
    capacity: Mapped[int | None]
    practice_areas: Mapped[list[str]] = mapped_column(server_default=text("'[]'"))
    languages: Mapped[list[str]] = mapped_column(server_default=text("'[]'"))
    absences: Mapped[list[Any]] = mapped_column(server_default=text("'[]'"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class TimelineEntry(Base):
    """Something that happened to a lead, at its own time. No personal data.

    ``occurrence`` makes an event that arrives twice one row: (type, epoch, decision), or (delivery,
    attempt, type), with the epoch where that moves a reopened lead again.
    """

    __tablename__ = "timeline"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    lead_id: Mapped[UUID] = mapped_column(ForeignKey("leads.id"))
    at: Mapped[datetime]
    type: Mapped[str]
    actor: Mapped[str]
    event_id: Mapped[str]
    occurrence: Mapped[str]
    detail: Mapped[dict[str, Any]]

    __table_args__ = (
        UniqueConstraint("lead_id", "occurrence"),
        Index("ix_timeline_lead_id_at", "lead_id", "at", "id"),
    )


class DeadLetter(Base):
    """A message some hearer gave up, kept raw so that it can be replayed; unique per queue and message."""

    __tablename__ = "dead_letters"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    queue: Mapped[str]
    message_key: Mapped[str]
    message_id: Mapped[str | None]
    message_type: Mapped[str | None]
    headers: Mapped[dict[str, Any]]
    correlation_id: Mapped[str | None]
    lead_id: Mapped[UUID | None] = mapped_column(index=True)
    attempts: Mapped[int]
    error_type: Mapped[str]
    error_place: Mapped[str]
    body: Mapped[bytes]
    body_truncated: Mapped[bool]
    status: Mapped[str] = mapped_column(server_default="open")
    times: Mapped[int] = mapped_column(Integer, server_default="1")
    first_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_at: Mapped[datetime] = mapped_column(server_default=func.now())
    resolved_at: Mapped[datetime | None]
    resolved_by: Mapped[str | None]
    resolution: Mapped[str | None]

    __table_args__ = (
        UniqueConstraint("queue", "message_key"),
        CheckConstraint("status IN ('open', 'replayed', 'discarded')", name="status"),
        Index("ix_dead_letters_status_last_at", "status", text("last_at DESC")),
    )


class Repair(Base):
    """How often a stuck lead was stated again, and when it may be again."""

    __tablename__ = "repairs"

    lead_id: Mapped[UUID] = mapped_column(ForeignKey("leads.id"), primary_key=True)
    times: Mapped[int] = mapped_column(Integer)
    last_at: Mapped[datetime] = mapped_column(server_default=func.now())
    next_at: Mapped[datetime]


metadata = [Base.metadata, chassis_metadata]
"""Every table of this service's database."""
