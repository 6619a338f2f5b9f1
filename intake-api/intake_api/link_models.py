"""Private links that are mailed to a prospect's own address."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from intake_api.declarative import Base


class ProspectLink(Base):
    """A link that was asked for: first a wish with ``email_key``, then the link of a lead with that address.

    A wish for an address that nobody knows is deleted, seconds later. The link's token is made of id and expiry when
    its mail is sent: what is here opens nothing.
    """

    __tablename__ = "prospect_links"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    lead_id: Mapped[UUID | None] = mapped_column(ForeignKey("leads.id"), index=True)
    email_key: Mapped[str | None]
    requested_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("(lead_id IS NULL) <> (email_key IS NULL)", name="wish_or_link"),
        Index("ix_prospect_links_wishes", "requested_at", postgresql_where=text("email_key IS NOT NULL")),
    )
