"""The real broker is killed and started again: nothing is lost, and everybody comes back unaided."""

import asyncio

from service_chassis.envelope import Envelope
from service_chassis.hearing import Subscription
from shared_schemas.events import AttorneyChanged
from shared_schemas.topology import ASSIGNMENT_ROSTER
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from .bench import Bench, changed
from .waiting import eventually, until


async def test_a_killed_broker_loses_nothing_and_relay_and_consumer_come_back(bench: Bench) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def handle(session: AsyncSession, event: AttorneyChanged, _envelope: Envelope) -> None:
        entered.set()
        await release.wait()
        await session.execute(text("INSERT INTO effects (note) VALUES (:note)"), {"note": event.name})

    names = [f"n{number}" for number in range(40)]
    subscription = Subscription(ASSIGNMENT_ROSTER, {AttorneyChanged: handle})
    async with bench.relaying() as relay, bench.consuming(subscription, consumer_prefetch=5) as consumer:
        await bench.say(*(changed(name) for name in names[:20]))
        await asyncio.wait_for(entered.wait(), 10)
        await eventually(lambda: bench.count("outbox"), lambda rows: rows == 0)
        await asyncio.to_thread(bench.broker.kill)
        try:
            await bench.say(*(changed(name) for name in names[20:]))
            await until(lambda: (relay.is_connected, consumer.is_connected), lambda seen: seen == (False, False))
            assert await bench.count("outbox") == 20
        finally:
            await asyncio.to_thread(bench.broker.start)
        release.set()
        await eventually(bench.effects, lambda seen: sorted(seen) == sorted(names), within=30)
        assert await bench.count("outbox") == 0
