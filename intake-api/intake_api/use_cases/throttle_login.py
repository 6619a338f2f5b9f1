"""Slow down guessing without locking anybody out.

The delay belongs to the pair of account and client, so that a stranger's failures delay the stranger. Failures of a
client at many accounts delay the client. Failures at one account by many clients delay nobody by themselves: they
only take from every client its free tries, so that each has one, and then waits a minute and more. Whoever comes from
an address of their own can always try at once.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import case, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from intake_api.account_models import LoginThrottle
from intake_api.exceptions import TooManyLoginsError

FREE_OF_PAIR = 5
ATTACKED_ACCOUNT = 30
FIRST_DELAY_S = 1
FIRST_DELAY_UNDER_ATTACK_S = 60
LONGEST_DELAY_S = 900
FORGET_AFTER_S = 3600


@dataclass(frozen=True)
class Attempt:
    """A login that is tried: keyed hashes of the account's name, the client, and both; the client's free failures."""

    account: bytes
    client: bytes
    pair: bytes
    free_of_client: int

    @classmethod
    def of(cls, secret: str, name: str, client: str, free_of_client: int) -> "Attempt":
        """Hash, with a key, who tries what: the table shows neither names nor addresses."""

        def hashed(kind: str, *parts: str) -> bytes:
            text = "\0".join((kind, *parts)).encode(errors="replace")
            return hashlib.blake2b(text, key=secret.encode()[:64], digest_size=32).digest()

        pair = hashed("pair", name, client)
        return cls(hashed("account", name), hashed("client", client), pair, free_of_client)


def delay_s(failures: int, free: int, first_s: int) -> int:
    """Seconds to wait after so many failures: none while they are free, then doubling up to the longest."""
    if failures < free:
        return 0
    return min(LONGEST_DELAY_S, first_s << min(failures - free, 20))


async def refuse_if_throttled(session: AsyncSession, attempt: Attempt) -> None:
    """Raise TooManyLoginsError while the pair or the client has to wait. Writes nothing."""
    wait = await session.scalar(
        select(func.max(func.extract("epoch", LoginThrottle.blocked_until - func.now()))).where(
            LoginThrottle.key.in_([attempt.client, attempt.pair])
        )
    )
    if wait is not None and wait > 0:
        raise TooManyLoginsError(math.ceil(wait))


async def record_failure(session: AsyncSession, attempt: Attempt) -> None:
    """Count a failure for account, client and pair, and say how long the latter two have to wait."""
    failures = {key: await _count(session, key) for key in sorted({attempt.account, attempt.client, attempt.pair})}
    for key, seconds in _delays(attempt, failures).items():
        if seconds:
            blocked_until = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)
            await session.execute(
                update(LoginThrottle).where(LoginThrottle.key == key).values(blocked_until=blocked_until)
            )


async def record_success(session: AsyncSession, attempt: Attempt) -> None:
    """Forget the pair's failures, and one of the client's."""
    await session.execute(delete(LoginThrottle).where(LoginThrottle.key == attempt.pair))
    await session.execute(
        update(LoginThrottle)
        .where(LoginThrottle.key == attempt.client, LoginThrottle.failures > 0)
        .values(failures=LoginThrottle.failures - 1)
    )


def _delays(attempt: Attempt, failures: Mapping[bytes, int]) -> dict[bytes, int]:
    attacked = failures[attempt.account] >= ATTACKED_ACCOUNT
    free, first_s = (1, FIRST_DELAY_UNDER_ATTACK_S) if attacked else (FREE_OF_PAIR, FIRST_DELAY_S)
    return {
        attempt.pair: delay_s(failures[attempt.pair], free, first_s),
        attempt.client: delay_s(failures[attempt.client], attempt.free_of_client, FIRST_DELAY_S),
    }


async def _count(session: AsyncSession, key: bytes) -> int:
    is_old = LoginThrottle.last_at < func.now() - func.make_interval(0, 0, 0, 0, 0, 0, FORGET_AFTER_S)
    counted = await session.scalar(
        insert(LoginThrottle)
        .values(key=key, failures=1)
        .on_conflict_do_update(
            index_elements=["key"],
            set_={"failures": case((is_old, 1), else_=LoginThrottle.failures + 1), "last_at": func.now()},
        )
        .returning(LoginThrottle.failures)
    )
    return int(counted or 1)
