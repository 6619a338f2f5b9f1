"""The assignment-worker's state: the roster (a replica, by version), the leads it chooses for, its decisions.

`Attorney.open_leads` equals the number of active assignments of that attorney (docs/design.md, invariant 6): both
change in one transaction, under the lock of `repository.take_turn`. Contact data of a lead is here only while its
LeadAssigned is still to be said.
"""

from datetime import datetime
from typing import Any, ClassVar, Literal, get_args
from uuid import UUID

from service_chassis import failures, inbox, outbox
from service_chassis.database import NAMING_CONVENTION, chassis_metadata
from shared_schemas.events import WaitingReason
from shared_schemas.order import Place
from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Index, MetaData, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

LeadStateName = Literal["pending", "waiting", "assigned", "closed", "erased"]
"""pending: a choice is due; waiting: nobody may take it; erased: a tombstone, final."""

LEAD_STATES: tuple[LeadStateName, ...] = get_args(LeadStateName)
WAITING_REASONS: tuple[WaitingReason, ...] = get_args(WaitingReason)

UNOWNED = text("state IN ('pending', 'waiting')")
"""Leads without owner that want one; spelt out, because a parameter would hide the partial indexes."""


class Base(DeclarativeBase):
    """Tables of this service."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map: ClassVar = {datetime: DateTime(timezone=True), str: Text}


class Attorney(Base):
    """An attorney as intake-api last told. ``version`` 0: named by a lead's event, not told of yet."""

    __tablename__ = "attorneys"
    __table_args__ = (CheckConstraint("open_leads >= 0", name="open_leads"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]
    name: Mapped[str]
    email: Mapped[str]
    available: Mapped[bool]
    capacity: Mapped[int | None]
    practice_areas: Mapped[list[Any]] = mapped_column(JSONB)
    languages: Mapped[list[Any]] = mapped_column(JSONB)
    absences: Mapped[list[Any]] = mapped_column(JSONB)
    open_leads: Mapped[int] = mapped_column(server_default="0")
    last_assigned_at: Mapped[datetime | None]


class Lead(Base):
    """A lead at its place (epoch, decision). ``attorney_id`` is the present owner.

    ``decision`` is the last number said or seen of this lead and never starts again. ``not_attorney_id`` is
    who must not get it (the owner it was taken from). ``explanation`` belongs to the LeadWaiting last said.
    """

    __tablename__ = "leads"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'waiting', 'assigned', 'closed', 'erased')", name="state"),
        CheckConstraint("(state = 'assigned') = (attorney_id IS NOT NULL)", name="owner"),
        CheckConstraint("(state = 'waiting') = (waiting_reason IS NOT NULL)", name="waiting_reason"),
        CheckConstraint(
            "num_nonnulls(first_name, last_name, email) = CASE WHEN state IN ('pending', 'waiting') THEN 3 ELSE 0 END",
            name="contact",
        ),
        CheckConstraint("state NOT IN ('pending', 'waiting') OR registered_at IS NOT NULL", name="registered_at"),
        Index("ix_leads_unowned", "registered_at", "lead_id", postgresql_where=UNOWNED),
        Index("ix_leads_state", "state", "waiting_reason", postgresql_where=UNOWNED),
    )

    lead_id: Mapped[UUID] = mapped_column(primary_key=True)
    epoch: Mapped[int]
    decision: Mapped[int]
    state: Mapped[str]
    outreach: Mapped[bool] = mapped_column(server_default=text("false"))
    first_name: Mapped[str | None]
    last_name: Mapped[str | None]
    email: Mapped[str | None]
    practice_area: Mapped[str | None]
    language: Mapped[str | None]
    keep_attorney_id: Mapped[UUID | None]
    not_attorney_id: Mapped[UUID | None]
    attorney_id: Mapped[UUID | None] = mapped_column(ForeignKey("attorneys.id"))
    registered_at: Mapped[datetime | None]
    waiting_reason: Mapped[WaitingReason | None] = mapped_column(Text)
    waiting_since: Mapped[datetime | None]
    explanation: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    trace_id: Mapped[str | None]

    @property
    def place(self) -> Place:
        """Where in its history the lead is."""
        return Place(self.epoch, self.decision)

    def forget_contact(self) -> None:
        """Drop what only a choice still to be made needs."""
        self.first_name = self.last_name = self.email = None
        self.practice_area = self.language = None
        self.keep_attorney_id = self.not_attorney_id = None
        self.waiting_reason = self.waiting_since = self.explanation = None


class Assignment(Base):
    """A decision record: who got the lead, by which decision, why, and which worker made the choice."""

    __tablename__ = "assignments"
    __table_args__ = (Index("uq_assignments_active", "lead_id", unique=True, postgresql_where=text("active")),)

    lead_id: Mapped[UUID] = mapped_column(ForeignKey("leads.lead_id"), primary_key=True)
    decision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[int]
    attorney_id: Mapped[UUID] = mapped_column(ForeignKey("attorneys.id"))
    worker: Mapped[str]
    explanation: Mapped[dict[str, Any]] = mapped_column(JSONB)
    active: Mapped[bool]
    assigned_at: Mapped[datetime]

    # So that a new lead is written before its first assignment; never loaded.
    lead: Mapped[Lead] = relationship(lazy="raise")


metadata = [Base.metadata, chassis_metadata]
"""What the migrations must make: our tables and the chassis' (its modules are imported for that)."""

_CHASSIS_TABLES = (outbox.outbox, inbox.inbox, failures.failures, failures.delivery_marks)
