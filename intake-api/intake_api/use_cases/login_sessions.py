"""Login sessions: opened by a login, carried on by refresh tokens, revoked at once and everywhere.

Every request asks the database whether the session of its token stands and what role the account has now, so a
revocation holds from the next request on, at every replica.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import structlog
from service_chassis.database import Sessions
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from intake_api import audit
from intake_api.account_models import Account, LoginSession, LoginThrottle, RefreshToken, SpentIdToken
from intake_api.caller import Caller, Role
from intake_api.exceptions import InvalidRefreshTokenError, NotAuthenticatedError
from intake_api.tokens import AccessToken, AccessTokens, Claims
from intake_api.use_cases.throttle_login import FORGET_AFTER_S

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class TokenPair:
    """What a login or a refresh gives."""

    access: AccessToken
    refresh: str


async def open_session(session: AsyncSession, tokens: AccessTokens, account: Account, lifetime_s: float) -> TokenPair:
    """Open a session for an account that has proved who it is."""
    expires_at = await session.scalar(select(func.now() + timedelta(seconds=lifetime_s)))
    opened = LoginSession(id=uuid4(), account_id=account.id, expires_at=expires_at)
    session.add(opened)
    await session.flush()
    return _next_pair(session, tokens, opened)


async def find_caller(sessions: Sessions, claims: Claims) -> Caller:
    """Who a checked token is for, as they stand now. Raises NotAuthenticatedError when revoked, expired or disabled."""
    async with sessions() as session:
        found = (
            await session.execute(
                select(Account.role, Account.attorney_id)
                .join(LoginSession, LoginSession.account_id == Account.id)
                .where(
                    Account.id == claims.account_id,
                    Account.disabled_at.is_(None),
                    LoginSession.id == claims.session_id,
                    LoginSession.revoked_at.is_(None),
                    LoginSession.expires_at > func.now(),
                )
            )
        ).one_or_none()
    if found is None:
        raise NotAuthenticatedError
    return Caller(claims.account_id, Role(found.role), found.attorney_id, claims.session_id)


async def refresh(sessions: Sessions, tokens: AccessTokens, refresh_token: str) -> TokenPair:
    """Trade a refresh token, once, for the next pair. Raises InvalidRefreshTokenError.

    One that was used before is in two hands: the session is revoked, whoever of the two asks.
    """
    async with sessions.begin() as session:
        row = (
            await session.execute(
                select(RefreshToken, LoginSession, Account.disabled_at, LoginSession.expires_at > func.now())
                .join(LoginSession, LoginSession.id == RefreshToken.session_id)
                .join(Account, Account.id == LoginSession.account_id)
                .where(RefreshToken.token_hash == _hash(refresh_token))
                .with_for_update(of=[LoginSession, RefreshToken])
            )
        ).one_or_none()
        if row is None:
            raise InvalidRefreshTokenError
        token, login, disabled_at, is_current = row
        audit.identify(f"account:{login.account_id}")
        if login.revoked_at is not None or disabled_at is not None or not is_current:
            raise InvalidRefreshTokenError
        if token.used_at is None:
            token.used_at = await session.scalar(select(func.now()))
            return _next_pair(session, tokens, login)
        await revoke_sessions(session, login.account_id, "reuse", session_id=login.id)
    log.warning("refresh_token_reused", account=str(login.account_id))
    raise InvalidRefreshTokenError


async def revoke_sessions(
    session: AsyncSession, account_id: UUID, reason: str, *, session_id: UUID | None = None
) -> None:
    """Revoke all sessions of an account, or the one given."""
    statement = update(LoginSession).where(LoginSession.account_id == account_id, LoginSession.revoked_at.is_(None))
    if session_id is not None:
        statement = statement.where(LoginSession.id == session_id)
    await session.execute(statement.values(revoked_at=func.now(), revoked_for=reason))


async def log_out(sessions: Sessions, caller: Caller) -> None:
    """Revoke the session that the caller speaks in."""
    async with sessions.begin() as session:
        await revoke_sessions(session, caller.account_id, "logout", session_id=caller.session_id)


async def forget_sessions(sessions: Sessions) -> None:
    """Delete expired sessions with their refresh tokens, spent ID tokens, and failures long past."""
    old = func.now() - timedelta(seconds=FORGET_AFTER_S)
    async with sessions.begin() as session:
        await session.execute(delete(LoginSession).where(LoginSession.expires_at < func.now()))
        await session.execute(delete(SpentIdToken).where(SpentIdToken.expires_at < old))
        await session.execute(
            delete(LoginThrottle).where(LoginThrottle.last_at < old, LoginThrottle.blocked_until < func.now())
        )


def _next_pair(session: AsyncSession, tokens: AccessTokens, login: LoginSession) -> TokenPair:
    audit.identify(f"account:{login.account_id}")
    token = secrets.token_urlsafe(32)
    session.add(RefreshToken(token_hash=_hash(token), session_id=login.id))
    return TokenPair(tokens.sign(login.account_id, login.id), token)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()
