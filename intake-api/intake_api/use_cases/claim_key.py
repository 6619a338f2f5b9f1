"""Idempotency-Key (IETF draft-ietf-httpapi-idempotency-key-header): one effect per key for 24 hours.

A claim is a row with a lease in database time, longer than the request deadline, so that a process
which dies does not hold its key for ever. Only hashes are stored.
"""

import hashlib
from dataclasses import dataclass
from uuid import UUID, uuid4

from service_chassis.database import Sessions
from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from intake_api.exceptions import (
    IdempotencyKeyInUseError,
    IdempotencyKeyReusedError,
    InvalidIdempotencyKeyError,
)
from intake_api.models import IdempotencyKey

KEY_LENGTH = 255


@dataclass(frozen=True)
class Claim:
    """A request's right to work under a key."""

    key_hash: str
    token: UUID


@dataclass(frozen=True)
class Replay:
    """The key has done its work: answer again from this submission."""

    submission_id: UUID


def hash_key(key: str) -> str:
    """Hash a client's key. Raises InvalidIdempotencyKeyError: empty, too long, not printable ASCII."""
    if not 1 <= len(key) <= KEY_LENGTH or not all(" " < character <= "~" for character in key):
        raise InvalidIdempotencyKeyError
    return hashlib.sha256(key.encode()).hexdigest()


async def claim_key(
    sessions: Sessions, key_hash: str, fingerprint: str, *, lease: float, lifetime: float
) -> Claim | Replay:
    """Claim a key, or find what it did.

    ``lease`` and ``lifetime`` in seconds. Raises IdempotencyKeyInUseError while another request runs under
    it, IdempotencyKeyReusedError when it was used for another body.
    """
    claim = Claim(key_hash, uuid4())
    lease_until = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, lease)
    fresh = insert(IdempotencyKey).values(
        key_hash=key_hash, fingerprint=fingerprint, claim=claim.token, lease_until=lease_until
    )
    async with sessions.begin() as session:
        taken = await session.scalar(
            fresh.on_conflict_do_update(
                index_elements=["key_hash"],
                set_={
                    "fingerprint": fingerprint,
                    "claim": claim.token,
                    "lease_until": lease_until,
                    "submission_id": None,
                    "created_at": func.now(),
                },
                where=(
                    (IdempotencyKey.submission_id.is_(None) & (IdempotencyKey.lease_until < func.now()))
                    & (IdempotencyKey.fingerprint == fingerprint)
                )
                | (IdempotencyKey.created_at < func.now() - func.make_interval(0, 0, 0, 0, 0, 0, lifetime)),
            ).returning(IdempotencyKey.claim)
        )
        if taken == claim.token:
            return claim
        held = await session.get_one(IdempotencyKey, key_hash)
        left = await session.scalar(
            select(func.ceil(func.extract("epoch", IdempotencyKey.lease_until - func.now()))).where(
                IdempotencyKey.key_hash == key_hash
            )
        )
    if held.fingerprint != fingerprint:
        raise IdempotencyKeyReusedError
    if held.submission_id is None:
        raise IdempotencyKeyInUseError(max(1, int(left or 1)))
    return Replay(held.submission_id)


async def finish_key(session: AsyncSession, claim: Claim, submission_id: UUID) -> None:
    """Bind the key to its submission, in the transaction that stores it.

    Raises IdempotencyKeyInUseError when the lease ran out and another request took the key.
    """
    kept = await session.scalar(
        update(IdempotencyKey)
        .where(IdempotencyKey.key_hash == claim.key_hash, IdempotencyKey.claim == claim.token)
        .values(submission_id=submission_id)
        .returning(IdempotencyKey.key_hash)
    )
    if kept is None:
        raise IdempotencyKeyInUseError(1)


async def release_key(sessions: Sessions, claim: Claim) -> None:
    """Give up a claim whose work failed, so that a retry need not wait for the lease.

    A claim whose commit went through although its answer was lost keeps its submission: nothing is released.
    """
    async with sessions.begin() as session:
        await session.execute(
            delete(IdempotencyKey).where(
                IdempotencyKey.key_hash == claim.key_hash,
                IdempotencyKey.claim == claim.token,
                IdempotencyKey.submission_id.is_(None),
            )
        )
