"""An event is a row of the transaction that makes it true."""

import json
from uuid import UUID, uuid4

import asyncpg
from service_chassis import outbox
from service_chassis.outbox import CHANNEL
from service_chassis.telemetry import trace_id_of, traced
from shared_schemas.events import LeadClosed, LeadErased

from .bench import Bench, changed
from .waiting import until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_a_rolled_back_transaction_says_nothing(bench: Bench) -> None:
    async with bench.sessions() as session:
        await outbox.add(session, changed())
        await outbox.add_all(session, [(changed(), None), (changed(), None)])
        await session.rollback()
    assert await bench.count("outbox") == 0


async def test_a_row_is_the_event_with_its_id_key_and_trace(bench: Bench) -> None:
    event = LeadClosed(lead_id=uuid4(), epoch=3)
    with traced(TRACE):
        async with bench.sessions.begin() as session:
            event_id = await outbox.add(session, event)
    row = await bench.sql.fetchrow("SELECT * FROM outbox")
    assert row is not None
    assert row["event_id"] == str(event_id)
    assert UUID(row["event_id"]).version == 7
    assert (row["type"], row["exchange"], row["routing_key"]) == ("lead.closed.v1", "leads.events", "lead.closed")
    assert row["lead_id"] == event.lead_id
    assert row["correlation_id"] == TRACE
    assert trace_id_of(json.loads(row["headers"])["traceparent"]) == TRACE
    assert LeadClosed.model_validate_json(row["body"]) == event


async def test_many_events_at_once_keep_their_own_traces(bench: Bench) -> None:
    async with bench.sessions.begin() as session:
        await outbox.add_all(session, [(changed(), TRACE), (changed(), None)])
        await outbox.add_all(session, [])
    rows = await bench.sql.fetch("SELECT event_id, correlation_id FROM outbox ORDER BY id")
    assert len({row["event_id"] for row in rows}) == 2
    assert rows[0]["correlation_id"] == TRACE != rows[1]["correlation_id"]


async def test_relays_are_woken_by_the_commit_and_not_before(bench: Bench) -> None:
    woken: list[str] = []
    listener = await asyncpg.connect(bench.database.app_url)
    try:
        await listener.add_listener(CHANNEL, lambda *_: woken.append("woken"))
        async with bench.sessions.begin() as session:
            await outbox.add(session, changed())
            assert await listener.fetchval("SELECT 1") == 1  # a round trip would have brought the notification
            assert woken == []
        await until(lambda: woken, lambda seen: seen == ["woken"])
        async with bench.sessions.begin() as session:
            await outbox.add_all(session, [(changed(), None)])
        await until(lambda: woken, lambda seen: len(seen) == 2)
    finally:
        await listener.close()


async def test_forgetting_a_lead_takes_its_unsent_events_and_no_others(bench: Bench) -> None:
    lead, other = uuid4(), uuid4()
    async with bench.sessions.begin() as session:
        for event in (LeadClosed(lead_id=lead, epoch=1), LeadErased(lead_id=lead, epoch=2)):
            await outbox.add(session, event)
        await outbox.add(session, LeadClosed(lead_id=other, epoch=1))
        await outbox.add(session, changed())
    async with bench.sessions.begin() as session:
        assert await outbox.forget_lead(session, lead) == 2
    assert {row["lead_id"] for row in await bench.sql.fetch("SELECT lead_id FROM outbox")} == {other, None}
