"""What is kept of a submission's receipt, once there is something to keep."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from intake_api.declarative import Base

FIRST_SERIAL = 1


class Receipt(Base):
    """A submission whose receipt was seen, revoked or renewed; without a row: unseen, and the first link holds."""

    __tablename__ = "receipts"

    submission_id: Mapped[UUID] = mapped_column(ForeignKey("submissions.id", ondelete="CASCADE"), primary_key=True)
    serial: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    seen_at: Mapped[datetime | None]
