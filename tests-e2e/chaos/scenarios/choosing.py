"""Choosing under pressure: workers die while they choose, and transactions collide."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from aio_pika.abc import AbstractIncomingMessage
from e2e import roster
from e2e.eventually import eventually

from chaos.fault_proxy import COMMIT, Trap
from chaos.run import Run, VoidRunError, scenario
from chaos.scenarios.messages import EXCHANGE, channel_of
from chaos.scenarios.seen import idle_transactions

_MANY = 200
_ATTORNEYS = 10
_FULL = 2
_CAPACITY = 5
_WORKERS = 4
_KILLS = 4


@scenario("F28")
async def choosing_workers_die(run: Run) -> None:
    """Two hundred leads, ten attorneys, four workers that die in their transactions: fair, and never above capacity."""
    added = await run.arena.add("assignment-worker", _WORKERS - len(run.arena.of("assignment-worker")))
    try:
        async with run.staff() as staff, roster.everybody_off(run.stack, staff):
            tag = run.scenario.crowd.canary
            team = [
                (await roster.add(staff, f"Equal {number}", f"equal{number}.{tag}@example.com"))["id"]
                for number in range(_ATTORNEYS)
            ]
            for attorney in team[:_FULL]:
                await roster.change(staff, attorney, capacity=_CAPACITY)
            await roster.replicated(run.stack, staff)
            async with run.under_load(_MANY):
                killed = [await _kill_a_chooser(run, moment) for moment in _moments(run)]
                run.healed()
            await run.reached(120)
            shares = Counter(dict.fromkeys(team, 0)) | await _shares(run)
    finally:
        for member in added:
            await run.arena.take_down(member.service)
            await run.arena.dismiss(member)
    if not any(killed):
        raise VoidRunError("nobody was killed in a transaction with work in it")
    full = [shares[attorney] for attorney in team[:_FULL]]
    others = [shares[attorney] for attorney in team[_FULL:]]
    run.check(set(shares) == set(team), "somebody was chosen who was not available")
    run.check(full == [_CAPACITY] * _FULL, f"attorneys with a capacity of {_CAPACITY} have {full}")
    run.check(max(others) - min(others) <= 1, f"open leads per attorney: {sorted(others)}")
    run.figures |= {"kills_at_work": sum(killed), "spread": max(others) - min(others)}


def _moments(run: Run) -> list[int]:
    return sorted(run.chance.sample(range(5, _MANY - 40), _KILLS))


async def _kill_a_chooser(run: Run, accepted: int) -> bool:
    """Kill a worker with its COMMIT on the way; tell whether there was something to commit."""
    await run.accepted(accepted)
    trap = Trap("c2s", COMMIT, "freeze", skip=run.chance.randrange(4))
    run.arena.lay(trap, "database", "assignment-worker")
    await run.sprung(trap)
    held = await idle_transactions(run, "assignment")
    victim = run.arena.victim_of(trap)
    await run.arena.kill(victim)
    run.arena.heal()
    over = await run.fetch_value("assignment", "SELECT count(*) FROM attorneys WHERE open_leads > capacity")
    run.check(over == 0, f"{over} attorneys above their capacity")
    return held > 0


async def _shares(run: Run) -> Counter[str]:
    leads = [uuid.UUID(lead) for lead in run.scenario.log.accepted().values()]
    rows = await run.fetch(
        "assignment",
        "SELECT attorney_id, count(*) FROM assignments WHERE active AND lead_id = ANY($1) GROUP BY attorney_id",
        leads,
    )
    return Counter({str(row["attorney_id"]): row["count"] for row in rows})


_TURN = "SELECT pg_advisory_xact_lock(4171)"
_CLAIM = "INSERT INTO inbox (queue, message_id) VALUES ('assignment.leads', $1)"
_SERIALIZATION_FAILURES = 3
_FAIL_AT_FIRST = f"""
    CREATE SEQUENCE chaos_tries;
    CREATE FUNCTION chaos_fail() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        IF nextval('public.chaos_tries') <= {_SERIALIZATION_FAILURES} THEN
            RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER chaos BEFORE INSERT ON leads FOR EACH ROW EXECUTE FUNCTION chaos_fail();
"""
_FAIL_NO_MORE = "DROP TRIGGER chaos ON leads; DROP FUNCTION chaos_fail(); DROP SEQUENCE chaos_tries;"


@scenario("F44")
async def transactions_collide(run: Run) -> None:
    """Deadlocks and serialization failures in handlers: tried again in place, nothing rejected, nothing counted."""
    workers = run.arena.of("assignment-worker")
    said = {member.name: member.service.log.stat().st_size for member in workers}
    crossings = run.chance.randrange(2, 4)
    async with _administrator(run) as administrator, _registrations(run) as published:
        before = await _deadlocks(administrator)
        for _ in range(crossings):
            await _cross(run, administrator, published)
        await eventually(lambda: _deadlocks(administrator), lambda now: now > before, within=15, what="a deadlock")
        run.figures["deadlocks"] = await _deadlocks(administrator) - before
        await administrator.execute(_FAIL_AT_FIRST)
        try:
            await run.load(5)
            await run.reached()
            tries = await administrator.fetchval("SELECT last_value FROM chaos_tries")
        finally:
            await administrator.execute(_FAIL_NO_MORE)
    run.healed()
    if tries <= _SERIALIZATION_FAILURES:
        raise VoidRunError("no serialization failure was tried again")
    counted = await run.fetch_value(
        "assignment", "SELECT count(*) FROM failures WHERE failed_at >= $1", run.scenario.since
    )
    run.check(counted == 0, f"{counted} collisions were counted against messages")
    for member in workers:
        new = member.service.log.read_bytes()[said[member.name] :]
        run.check(b"dependency_away" not in new, f"{member.name} rejected a message for a collision")
    run.figures["serialization_failures"] = _SERIALIZATION_FAILURES


@asynccontextmanager
async def _administrator(run: Run) -> AsyncIterator[asyncpg.Connection]:
    """A superuser in the assignment database who is slow to look for deadlocks, so that the product is the victim."""
    connection = await asyncpg.connect(f"{run.arena.postgres.admin_url.rpartition('/')[0]}/assignment")
    try:
        await connection.execute("SET deadlock_timeout = '4s'")
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def _registrations(run: Run) -> "AsyncIterator[asyncio.Queue[str]]":
    """The ids of LeadRegistered events, as they are published."""
    ids: asyncio.Queue[str] = asyncio.Queue()

    async def hear(message: AbstractIncomingMessage) -> None:
        ids.put_nowait(str(message.message_id))

    async with channel_of(run) as channel:
        copies = await channel.declare_queue(exclusive=True)
        await copies.bind(EXCHANGE, "lead.registered")
        await copies.consume(hear, no_ack=True)
        yield ids


async def _cross(run: Run, administrator: asyncpg.Connection, published: "asyncio.Queue[str]") -> None:
    """Hold the turn, and want the claim of a message whose handler has it and waits for the turn."""
    ends = time.monotonic() + 10
    while not published.empty():
        published.get_nowait()
    transaction = administrator.transaction()
    await transaction.start()
    try:
        await administrator.execute(_TURN)
        await run.load(run.leads // 4)
        message_id = await asyncio.wait_for(published.get(), 20)
        while time.monotonic() < ends:
            began = time.monotonic()
            savepoint = administrator.transaction()
            await savepoint.start()
            try:
                await administrator.execute(_CLAIM, message_id)
            except asyncpg.DeadlockDetectedError:
                return  # it was us: the next one is tried
            await savepoint.rollback()
            if time.monotonic() - began > 0.3:
                return  # it had to wait: the other was made to give way
            await asyncio.sleep(0.02)  # its handler has not come to it yet
    finally:
        await transaction.rollback()


async def _deadlocks(administrator: asyncpg.Connection) -> int:
    count: int = await administrator.fetchval(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    return count
