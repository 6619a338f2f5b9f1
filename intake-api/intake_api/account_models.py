"""State of accounts: who may log in."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from intake_api.declarative import Base


class Account(Base):
    """A staff account; ``attorney_id`` links it to the attorney it acts for."""

    __tablename__ = "accounts"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    role: Mapped[str]
    attorney_id: Mapped[UUID | None] = mapped_column(ForeignKey("attorneys.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
