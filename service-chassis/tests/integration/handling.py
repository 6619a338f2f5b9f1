"""What the tests of consumers share: a plain handler, its subscription, and waiting for what it does."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

from service_chassis import outbox
from service_chassis.database import Sessions, make_engine, make_sessions, ping
from service_chassis.envelope import Envelope
from service_chassis.hearing import Handler, Subscription
from service_chassis.settings import DatabaseGroup
from shared_schemas.events import AttorneyChanged, LeadClosed
from shared_schemas.topology import ASSIGNMENT_ROSTER
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from .bench import Bench
from .waiting import eventually

LEAD = UUID("3f0c9d1e-5a44-4d6b-9c53-0c8a6a1f2b77")
ACK = rb"\x00\x3c\x00\x50"
NOTE = text("INSERT INTO effects (note) VALUES (:note)")


async def nothing() -> None:
    """A probe that always succeeds."""


async def note(session: AsyncSession, event: AttorneyChanged, _envelope: Envelope) -> None:
    """The plain handler: an effect and an outgoing event."""
    await session.execute(NOTE, {"note": event.name})
    await outbox.add(session, LeadClosed(lead_id=LEAD, epoch=1))


def subscribed(handler: Handler) -> Subscription:
    return Subscription(ASSIGNMENT_ROSTER, {AttorneyChanged: handler})


async def handled(bench: Bench, *names: str, within: float = 20.0) -> None:
    """Wait until exactly these effects were made, in any order."""
    await eventually(bench.effects, lambda seen: sorted(seen) == sorted(names), within)


async def all_acked(bench: Bench) -> None:
    """Wait until nothing waits; after the last consumer has gone that means: everything was acked."""
    await eventually(bench.waiting, lambda seen: seen == (0, 0))


@contextlib.asynccontextmanager
async def engine_over(
    url: str, statement_timeout: float = 10.0
) -> AsyncIterator[tuple[Sessions, Callable[[], Awaitable[None]]]]:
    """Sessions over an address of their own, and the probe of that database."""
    engine = make_engine(DatabaseGroup(database_url=url, database_statement_timeout=statement_timeout), "test")
    try:
        yield make_sessions(engine), lambda: ping(engine)
    finally:
        await engine.dispose()
