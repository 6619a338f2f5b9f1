"""The audit: who did what, when, from where, with what result. Rows are added, never changed (see `audit`)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from intake_api.declarative import Base


class AuditEntry(Base):
    """One act. No personal data: accounts and leads by id, the origin as a network.

    ``hash`` covers the row and ``previous_hash``, the hash of the row before: a row that is changed, removed or
    slipped in later is found by `verify_audit`.
    """

    __tablename__ = "audit"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    lead_id: Mapped[UUID | None]
    origin: Mapped[str]
    result: Mapped[int]
    detail: Mapped[dict[str, Any]]
    previous_hash: Mapped[bytes] = mapped_column(LargeBinary)
    hash: Mapped[bytes] = mapped_column(LargeBinary)

    __table_args__ = (Index("ix_audit_lead_id_seq", "lead_id", "seq"), Index("ix_audit_actor_seq", "actor", "seq"))
