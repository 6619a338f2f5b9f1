"""Staff accounts and access tokens (JWT, RFC 7519; checks after RFC 8725).

Passwords are argon2id hashes. An unknown account costs as much as a wrong password and answers the same.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from service_chassis.database import Sessions
from sqlalchemy import select

from intake_api.account_models import Account
from intake_api.caller import Caller, Role
from intake_api.exceptions import InvalidCredentialsError, NotAuthenticatedError
from intake_api.plain_text import has_controls
from intake_api.settings import IntakeSettings

ALGORITHM = "HS256"
TOKEN_TYPE = "access"  # noqa: S105 - a claim's value, not a secret
LEEWAY_S = 30
HASHES_AT_ONCE = 2

hasher = PasswordHasher(memory_cost=19_456, time_cost=2, parallelism=1)
"""argon2id with OWASP's minimum parameters (m = 19 MiB, t = 2, p = 1)."""

_ABSENT_ACCOUNT_HASH = hasher.hash("no account has this password")
_hashing = asyncio.Semaphore(HASHES_AT_ONCE)


@dataclass(frozen=True)
class AccessToken:
    """A signed token and the seconds it is valid."""

    value: str
    expires_in: int


async def issue_token(sessions: Sessions, settings: IntakeSettings, email: str, password: str) -> AccessToken:
    """Trade an address and password for an access token. Raises InvalidCredentialsError."""
    name = email.strip().lower()
    async with sessions() as session:
        account = None if has_controls(name) else await session.scalar(select(Account).where(Account.email == name))
    known = account.password_hash if account else _ABSENT_ACCOUNT_HASH
    async with _hashing:
        matches = await asyncio.to_thread(_matches, known, password)
    if account is None or not matches:
        raise InvalidCredentialsError
    now = datetime.now(UTC)
    lifetime = timedelta(seconds=settings.auth_token_lifetime)
    claims = {
        "iss": settings.auth_issuer,
        "aud": settings.auth_issuer,
        "sub": str(account.id),
        "jti": str(uuid4()),
        "typ": TOKEN_TYPE,
        "role": account.role,
        "attorney_id": str(account.attorney_id) if account.attorney_id else None,
        "iat": now,
        "nbf": now,
        "exp": now + lifetime,
    }
    token = jwt.encode(claims, settings.auth_secret.get_secret_value(), algorithm=ALGORITHM)
    return AccessToken(token, int(lifetime.total_seconds()))


def read_token(settings: IntakeSettings, token: str) -> Caller:
    """Check a token and say who it is for. Raises NotAuthenticatedError, whatever is wrong with it."""
    try:
        claims = jwt.decode(
            token,
            settings.auth_secret.get_secret_value(),
            algorithms=[ALGORITHM],
            audience=settings.auth_issuer,
            issuer=settings.auth_issuer,
            leeway=LEEWAY_S,
            options={"require": ["iss", "aud", "sub", "jti", "iat", "nbf", "exp", "typ", "role"]},
        )
        if claims["typ"] != TOKEN_TYPE:
            raise NotAuthenticatedError
        attorney_id = claims.get("attorney_id")
        return Caller(UUID(claims["sub"]), Role(claims["role"]), UUID(attorney_id) if attorney_id else None)
    except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError) as error:
        raise NotAuthenticatedError from error


def _matches(password_hash: str, password: str) -> bool:
    try:
        return hasher.verify(password_hash, password)
    except VerificationError:
        return False
