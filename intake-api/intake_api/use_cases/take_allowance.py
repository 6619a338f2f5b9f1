"""Caps, counted in PostgreSQL so that all replicas share them.

A window begins with its first use and ends after its period; what is refused is not counted, so that Retry-After
is honest. With the database away nothing is allowed: the request could not be stored either.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from prometheus_client import Counter
from service_chassis.database import Sessions
from sqlalchemy import case, func, text, update
from sqlalchemy.dialects.postgresql import insert

from intake_api.exceptions import LimitReachedError
from intake_api.form_models import RateCounter
from intake_api.form_settings import Rate

log = structlog.get_logger(__name__)

LIMITED = Counter("submissions_limited_total", "Submissions that a cap refused", ["scope"])

_ONE_COUNT_MAY_BE_LOST = text("SET LOCAL synchronous_commit = off")


@dataclass(frozen=True)
class Allowance:
    """A use of a cap: ``cost`` of ``rate``, counted for ``subject`` (a keyed hash) within ``scope``."""

    scope: str
    subject: str
    rate: Rate
    cost: int = 1

    @property
    def key(self) -> str:
        """The counter's key."""
        return f"{self.scope}:{self.subject}"


@dataclass(frozen=True)
class Taken:
    """A use that was counted, in the window that ends then."""

    key: str
    cost: int
    ends_at: datetime


async def take_allowance(sessions: Sessions, wanted: Sequence[Allowance]) -> list[Taken]:
    """Count all of them, or none and raise LimitReachedError for the one that takes longest to come back."""
    if not wanted:
        return []
    # In one order everywhere, so that two requests never wait for each other.
    by_key = {one.key: one for one in sorted(wanted, key=lambda one: one.key)}
    fresh = insert(RateCounter).values(
        [
            {
                "key": one.key,
                "ends_at": func.now() + func.make_interval(0, 0, 0, 0, 0, 0, one.rate.period),
                "used": one.cost,
            }
            for one in by_key.values()
        ]
    )
    is_over = RateCounter.ends_at <= func.now()
    statement = fresh.on_conflict_do_update(
        index_elements=["key"],
        set_={
            "used": case((is_over, fresh.excluded.used), else_=RateCounter.used + fresh.excluded.used),
            "ends_at": case((is_over, fresh.excluded.ends_at), else_=RateCounter.ends_at),
        },
    ).returning(
        RateCounter.key,
        RateCounter.used,
        func.extract("epoch", RateCounter.ends_at - func.now()),
        RateCounter.ends_at,
    )
    async with sessions.begin() as session:
        await session.execute(_ONE_COUNT_MAY_BE_LOST)
        rows = (await session.execute(statement)).all()
        exceeded = [(float(left), by_key[key]) for key, used, left, _ in rows if used > by_key[key].rate.limit]
        if exceeded:
            left, allowance = max(exceeded, key=lambda pair: pair[0])
            LIMITED.labels(allowance.scope).inc()
            log.warning("limit_reached", scope=allowance.scope)
            raise LimitReachedError(allowance.scope, max(1, math.ceil(left)))
    return [Taken(key, by_key[key].cost, ends_at) for key, _, _, ends_at in rows]


async def give_back(sessions: Sessions, taken: Sequence[Taken]) -> None:
    """Uncount what led to nothing, unless its window is over."""
    async with sessions.begin() as session:
        for one in sorted(taken, key=lambda one: one.key):
            await session.execute(
                update(RateCounter)
                .where(RateCounter.key == one.key, RateCounter.ends_at == one.ends_at)
                .values(used=RateCounter.used - one.cost)
            )
