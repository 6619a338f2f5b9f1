"""State of the public form: counters of the caps, and the log of every attempt to submit."""

from datetime import datetime

from sqlalchemy import BigInteger, Identity, Index, Integer, func, text
from sqlalchemy.orm import Mapped, mapped_column

from intake_api.declarative import Base


class RateCounter(Base):
    """What was used of one cap since its window began. ``key`` is a scope and a keyed hash."""

    __tablename__ = "rate_counters"

    key: Mapped[str] = mapped_column(primary_key=True)
    ends_at: Mapped[datetime] = mapped_column(index=True)
    used: Mapped[int] = mapped_column(BigInteger)


class CaptureAttempt(Base):
    """An attempt to submit a lead: what came of it and why. Hashes with a key, nothing that was typed.

    Attempts of one client that one cap refuses in one window share a row: ``times`` counts them.
    """

    __tablename__ = "capture_log"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    occurrence: Mapped[str] = mapped_column(unique=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_at: Mapped[datetime] = mapped_column(server_default=func.now())
    times: Mapped[int] = mapped_column(Integer, server_default="1")
    outcome: Mapped[str]
    status: Mapped[int]
    reasons: Mapped[list[str]] = mapped_column(server_default=text("'[]'"))
    client_hash: Mapped[str]
    recipient_hash: Mapped[str | None]
    trace_id: Mapped[str]

    __table_args__ = (Index("ix_capture_log_newest", text("at DESC"), text("id DESC")),)
