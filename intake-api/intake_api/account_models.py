"""State of accounts: who may log in, for how long, and which integrations hold a key.

Secrets are kept as hashes only: passwords as argon2id, refresh tokens and API keys (256 random bits) as SHA-256.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Integer, func, text
from sqlalchemy.orm import Mapped, mapped_column

from intake_api.declarative import Base


class Account(Base):
    """A staff account; ``attorney_id`` links it to the attorney it acts for.

    Without ``password_hash`` only the identity provider lets it in; ``oidc_subject`` is who it is there, set at its
    first login that way.
    """

    __tablename__ = "accounts"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str | None]
    role: Mapped[str]
    attorney_id: Mapped[UUID | None] = mapped_column(ForeignKey("attorneys.id"))
    oidc_subject: Mapped[str | None] = mapped_column(unique=True)
    disabled_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (CheckConstraint("role IN ('admin', 'intake', 'attorney', 'operator')", name="role"),)


class LoginSession(Base):
    """One login and every token that came of it. Revoked, none of them is valid any more."""

    __tablename__ = "login_sessions"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]
    revoked_for: Mapped[str | None]


class RefreshToken(Base):
    """A refresh token, good for one use; using it again revokes its session (RFC 9700 s. 4.14.2)."""

    __tablename__ = "refresh_tokens"

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("login_sessions.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    used_at: Mapped[datetime | None]


class SpentIdToken(Base):
    """An ID token that was traded for a session, kept until it expires so that it is traded once."""

    __tablename__ = "spent_id_tokens"

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class LoginThrottle(Base):
    """Failed logins of a client, an account, or the pair of them; ``key`` is a keyed hash of which."""

    __tablename__ = "login_throttles"

    key: Mapped[bytes] = mapped_column(primary_key=True)
    failures: Mapped[int] = mapped_column(Integer)
    last_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    blocked_until: Mapped[datetime] = mapped_column(server_default=func.now())


class ApiKey(Base):
    """An integration's key: what it may do, until when, how often. ``window_*`` counts this minute's requests."""

    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    prefix: Mapped[str]
    secret_hash: Mapped[bytes] = mapped_column(unique=True)
    scopes: Mapped[list[str]]
    requests_per_minute: Mapped[int] = mapped_column(Integer)
    window_start: Mapped[datetime] = mapped_column(server_default=func.now())
    window_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    created_by: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_used_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
