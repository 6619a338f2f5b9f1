"""Erased leads: the tombstone that stays, and the receipt of what went. Legal holds, which nothing may erase."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, Integer, func, text
from sqlalchemy.orm import Mapped, mapped_column

from intake_api.declarative import Base


class Erasure(Base):
    """A lead that was erased: its id and numbers, nothing of the person.

    ``object_keys`` are resume objects still to delete. ``answers`` says per service when its data was gone and how
    many rows of what it had. ``part_of``: it had been merged into that lead and went with it. ``completed_at`` is set
    once the objects are gone and every service has answered, for what was merged into it too.
    """

    __tablename__ = "erasures"

    lead_id: Mapped[UUID] = mapped_column(primary_key=True)
    part_of: Mapped[UUID | None]
    epoch: Mapped[int] = mapped_column(Integer)
    decision: Mapped[int] = mapped_column(Integer)
    trace_id: Mapped[str]
    reason: Mapped[str]
    requested_by: Mapped[str]
    requested_at: Mapped[datetime] = mapped_column(server_default=func.now())
    object_keys: Mapped[list[str]]
    objects_deleted: Mapped[int] = mapped_column(Integer, server_default="0")
    answers: Mapped[dict[str, Any]]
    completed_at: Mapped[datetime | None]
    said_times: Mapped[int] = mapped_column(Integer, server_default="1")
    say_again_at: Mapped[datetime]

    __table_args__ = (Index("ix_erasures_open", "requested_at", postgresql_where=text("completed_at IS NULL")),)


class LegalHold(Base):
    """A lead that must be kept: neither erasure nor retention touches it. ``reference`` names the matter."""

    __tablename__ = "legal_holds"

    lead_id: Mapped[UUID] = mapped_column(ForeignKey("leads.id"), primary_key=True)
    reference: Mapped[str]
    placed_by: Mapped[str]
    placed_at: Mapped[datetime] = mapped_column(server_default=func.now())
