"""API keys of integrations: shown once, kept as a hash, limited in scope, time and pace."""

import hashlib
import math
import secrets
from datetime import datetime
from uuid import UUID, uuid4

from service_chassis.database import Sessions
from sqlalchemy import case, func, or_, select, update

from intake_api.account_models import ApiKey
from intake_api.caller import Caller, Scope
from intake_api.exceptions import ApiKeyNotFoundError, NotAuthenticatedError, TooManyRequestsError

KEY_PREFIX = "lead_"
_SHOWN = len(KEY_PREFIX) + 6
_WINDOW_S = 60


async def create_api_key(
    sessions: Sessions,
    admin: Caller,
    *,
    name: str,
    scopes: list[Scope],
    requests_per_minute: int,
    expires_at: datetime | None,
) -> tuple[ApiKey, str]:
    """Make a key. The second value is the key itself, which nobody can show again."""
    secret = KEY_PREFIX + secrets.token_urlsafe(32)
    key = ApiKey(
        id=uuid4(),
        name=name,
        prefix=secret[:_SHOWN],
        secret_hash=_hash(secret),
        scopes=sorted(set(scopes)),
        requests_per_minute=requests_per_minute,
        created_by=admin.account_id,
        expires_at=expires_at,
    )
    async with sessions.begin() as session:
        session.add(key)
    return key, secret


async def use_api_key(sessions: Sessions, secret: str) -> Caller:
    """Who a key is for, counting the request. Raises NotAuthenticatedError, TooManyRequestsError.

    The count is one row, so that the limit holds over all replicas.
    """
    minute = func.date_trunc("minute", func.now())
    statement = (
        update(ApiKey)
        .where(
            ApiKey.secret_hash == _hash(secret),
            ApiKey.revoked_at.is_(None),
            or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now()),
        )
        .values(
            last_used_at=func.now(),
            window_start=minute,
            window_count=case(
                # A flood past the limit is counted no further, so that the number cannot overflow.
                (ApiKey.window_start == minute, func.least(ApiKey.window_count, ApiKey.requests_per_minute) + 1),
                else_=1,
            ),
        )
        .returning(
            ApiKey.id,
            ApiKey.scopes,
            ApiKey.window_count > ApiKey.requests_per_minute,
            _WINDOW_S - func.extract("second", func.now()),
        )
    )
    async with sessions.begin() as session:
        row = (await session.execute(statement)).one_or_none()
    if row is None:
        raise NotAuthenticatedError
    key_id, scopes, is_over, left = row
    if is_over:
        raise TooManyRequestsError(max(1, math.ceil(left)))
    return Caller(key_id, None, scopes=frozenset(Scope(scope) for scope in scopes))


async def list_api_keys(sessions: Sessions) -> list[ApiKey]:
    """All keys, newest first, revoked ones too."""
    async with sessions() as session:
        return list((await session.scalars(select(ApiKey).order_by(ApiKey.created_at.desc(), ApiKey.id))).all())


async def revoke_api_key(sessions: Sessions, key_id: UUID) -> ApiKey:
    """End a key for good, from its next request on. Raises ApiKeyNotFoundError."""
    async with sessions.begin() as session:
        key = await session.get(ApiKey, key_id, with_for_update=True)
        if key is None:
            raise ApiKeyNotFoundError
        if key.revoked_at is None:
            key.revoked_at = await session.scalar(select(func.now()))
        return key


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()
