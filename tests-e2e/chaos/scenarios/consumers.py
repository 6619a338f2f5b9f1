"""What consumers are given, and when they die: poison, repeats, half a transaction, replays."""

import asyncio
import time
import uuid

import aio_pika
import asyncpg
import httpx
from aio_pika.abc import AbstractIncomingMessage
from e2e import evidence
from e2e.eventually import PATIENCE, eventually

from chaos.fault_proxy import COMMIT, Trap
from chaos.members import WORKERS
from chaos.run import Run, VoidRunError, scenario
from chaos.scenarios.messages import EXCHANGE, channel_of, copy_of
from chaos.scenarios.seen import idle_transactions, metric

_TIMES = 5
_LARGE = 5 * 1024 * 1024


@scenario("F20")
async def poison_among_healthy_messages(run: Run) -> None:
    """Poison (no JSON, unknown type, unknown version, no lead id, 5 MB): dead letters at once, neighbours unharmed."""
    queue, known = run.variant(
        (
            ("assignment.leads", "lead.registered.v1"),
            ("mailer.outreach", "lead.assigned.v1"),
            ("intake.lead-status", "lead.reached-out.v1"),
        )
    )
    poisons = [
        (known, b"{no json", "invalid_body"),
        ("nobody.knows.v1", b"{}", "unknown_type"),
        (known.replace(".v1", ".v99"), b"{}", "unknown_type"),
        (known, b"{}", "invalid_body"),
        (known, b"x" * _LARGE, "invalid_body"),
    ]
    run.chance.shuffle(poisons)
    wanted: dict[str, tuple[int, str]] = {}
    counted = await _dead_lettered(run, queue)
    async with run.under_load(), channel_of(run) as channel:
        for type_, body, reason in poisons:
            await run.accepted(run.chance.randrange(run.leads // 2))
            message = aio_pika.Message(body, message_id=str(uuid.uuid4()), type=type_, app_id="chaos")
            message.delivery_mode = aio_pika.DeliveryMode.PERSISTENT
            run.poisoned.add(str(message.message_id))
            wanted[str(message.message_id)] = (1, f"Poison:{reason}")
            await channel.default_exchange.publish(message, queue)
        began = time.monotonic()

        async def dead() -> dict[str, tuple[int, str]]:
            rows = await run.fetch("intake", _DEAD, list(wanted))
            return {row["message_id"]: (row["attempts"], row["error_type"]) for row in rows}

        found = await eventually(
            dead, lambda seen: len(seen) == len(wanted), within=20, what="poisons are dead letters"
        )
        run.figures["dead_s"] = round(time.monotonic() - began, 1)
        run.healed()
    run.check(found == wanted, f"poisons were given up otherwise than at once and for what they are: {found}")
    counted = await _dead_lettered(run, queue) - counted
    run.check(counted == len(wanted), f"{len(wanted)} poisons, {counted} counted for the alert")
    await run.reached()
    slowest = (await run.fetch_value("intake", _SLOWEST, run.scenario.since)) or 0.0
    run.check(slowest < _NEIGHBOUR_S * PATIENCE, f"a neighbour of poison took {slowest:.1f} s until it was reached")
    run.figures |= {"queue": queue, "neighbour_s": round(slowest, 1)}


_NEIGHBOUR_S = 20.0
_DEAD = "SELECT message_id, attempts, error_type FROM dead_letters WHERE message_id = ANY($1)"
_SLOWEST = """
    SELECT extract(epoch FROM max(t.at - l.created_at))::float8
    FROM leads l JOIN timeline t ON t.lead_id = l.id
    WHERE l.created_at >= $1 AND t.type = 'lead.reached-out'
"""


async def _dead_lettered(run: Run, queue: str) -> int:
    """The counter behind the alert, of all workers together."""
    name = f'messages_handled_total{{outcome="dead_lettered",queue="{queue}"}}'
    return int(sum(await metric(run.arena.of(*WORKERS), name)))


@scenario("F23")
async def every_event_comes_six_times(run: Run) -> None:
    """Each event published five times more, in parallel, and again when it is a day old: one effect each."""
    seen: dict[str, AbstractIncomingMessage] = {}
    async with channel_of(run) as channel:
        exchange = await channel.get_exchange(EXCHANGE, ensure=False)
        copies = await channel.declare_queue(exclusive=True)
        await copies.bind(EXCHANGE, "#")

        async def repeat(message: AbstractIncomingMessage, times: int) -> None:
            again = (copy_of(message) for _ in range(times))
            await asyncio.gather(*(exchange.publish(one, message.routing_key or "") for one in again))

        async def hear(message: AbstractIncomingMessage) -> None:
            if message.message_id and message.message_id not in seen:
                seen[message.message_id] = message
                await repeat(message, _TIMES)

        consumer = await copies.consume(hear, no_ack=True)
        await run.load()
        await run.scenario.settle()
        await copies.cancel(consumer)
        await _let_a_day_pass(run)
        before = run.arena.delivered.count
        await asyncio.gather(*(repeat(message, 1) for message in list(seen.values())))

        async def delivered() -> int:
            return run.arena.delivered.count - before

        await eventually(delivered, lambda count: count >= len(seen), within=60, what="the old events are delivered")
        await run.scenario.settle()
        await _in_every_inbox(run, _AGE_BACK, run.scenario.since)  # for the figures, which count by time
    run.healed()
    run.figures["events"] = len(seen)
    if len(seen) < 3 * run.leads:
        raise VoidRunError(f"only {len(seen)} events were repeated")


_AGE = "UPDATE inbox SET received_at = received_at - interval '1 day' WHERE received_at >= $1"
_AGE_BACK = """
    UPDATE inbox SET received_at = received_at + interval '1 day'
    WHERE received_at BETWEEN $1::timestamptz - interval '1 day' AND now() - interval '1 day'
"""
_DAY_OLD = """
    SELECT count(*) FROM inbox
    WHERE received_at BETWEEN $1::timestamptz - interval '1 day' AND now() - interval '1 day'
"""
_OLD = "INSERT INTO inbox (queue, message_id, received_at) VALUES ('chaos', $1, now() - interval '46 days')"


async def _let_a_day_pass(run: Run) -> None:
    """Make the inboxes a day older, and have each service's housekeeping run: workers do that when they start."""
    await _in_every_inbox(run, _AGE, run.scenario.since)
    aged = [await run.fetch_value(database, _DAY_OLD, run.scenario.since) for database in evidence.DATABASES]
    mark = uuid.uuid4().hex
    await _in_every_inbox(run, _OLD, mark)
    for kind in WORKERS:
        await run.arena.kill(run.arena.of(kind)[0])

    async def left() -> int:
        counts = [
            await run.fetch_value(database, "SELECT count(*) FROM inbox WHERE message_id = $1", mark)
            for database in evidence.DATABASES
        ]
        return sum(counts)

    await eventually(left, lambda count: not count, within=60, what="what is past its retention is gone")
    kept = [await run.fetch_value(database, _DAY_OLD, run.scenario.since) for database in evidence.DATABASES]
    run.check(kept == aged and all(aged), f"of {aged} messages of yesterday the inboxes know {kept}")
    await run.arena.all_up()


async def _in_every_inbox(run: Run, statement: str, value: object) -> None:
    for database in evidence.DATABASES:
        async with evidence.database(run.stack, database) as connection:
            await connection.execute(statement, value)


@scenario("F26")
async def assignment_dies_in_its_transaction(run: Run) -> None:
    """Assignment-worker killed with its COMMIT on the way: nothing half done, the counters are right."""
    async with run.under_load():
        for _ in range(40):
            trap = Trap("c2s", COMMIT, "freeze", skip=run.chance.randrange(6))
            run.arena.lay(trap, "database", "assignment-worker")
            await run.sprung(trap)
            if await idle_transactions(run, "assignment"):
                break
            run.arena.heal()
        else:
            raise VoidRunError("no transaction with work in it was caught")
        await run.arena.kill(run.arena.victim_of(trap))
        run.healed()
    run.figures["victim"] = run.arena.victim_of(trap).name


@scenario("F54")
async def dead_letters_are_replayed_twice(run: Run) -> None:
    """Messages die of a fault of ours; mended, each is replayed and delivered twice, and has its effect once."""
    await _in_mailer(run, "ALTER TABLE deliveries ADD CONSTRAINT chaos CHECK (lead_id::text < '8') NOT VALID")
    try:
        await run.load()
        doomed = sum(lead_id >= "8" for lead_id in run.scenario.log.accepted().values())
        if not doomed:
            raise VoidRunError("no lead was to fail")

        async def dead() -> int:
            count: int = await run.fetch_value(
                "intake",
                "SELECT count(*) FROM dead_letters WHERE status = 'open' AND last_at >= $1",
                run.scenario.since,
            )
            return count

        await eventually(dead, lambda count: count == doomed, within=90, what=f"{doomed} dead letters")
    finally:
        await _in_mailer(run, "ALTER TABLE deliveries DROP CONSTRAINT chaos")
    run.healed()
    async with run.staff() as staff:
        replayed = [await _replay_all(staff)]
        await run.reached()
        replayed.append(await _replay_all(staff))
        async with evidence.database(run.stack, "intake") as intake:
            await intake.execute(_OPEN_AGAIN, run.scenario.since)
        before = run.arena.delivered.count
        replayed.append(await _replay_all(staff))

        async def delivered() -> int:
            return run.arena.delivered.count - before

        await eventually(delivered, lambda count: count >= doomed, within=30, what="they are delivered once more")
    run.check(replayed == [doomed, 0, doomed], f"{doomed} dead letters, {replayed} replayed")
    await run.scenario.settle()
    run.check(len(run.arena.smtp.mails) == run.leads, f"{len(run.arena.smtp.mails)} mails for {run.leads} leads")
    deliveries = await run.fetch_value("mailer", _DELIVERIES, run.scenario.since)
    run.check(deliveries == run.leads, f"{deliveries} deliveries for {run.leads} leads")
    run.figures["replayed"] = replayed[0]


_OPEN_AGAIN = "UPDATE dead_letters SET status = 'open' WHERE last_at >= $1 AND status = 'replayed'"
_DELIVERIES = "SELECT count(*) FROM deliveries WHERE first_queued_at >= $1"


async def _replay_all(staff: httpx.AsyncClient) -> int:
    response = await staff.post("/api/v1/dead-letters/replay", json={})
    assert response.status_code == 200, response.text
    count: int = response.json()["replayed"]
    return count


async def _in_mailer(run: Run, statement: str) -> None:
    administrator = await asyncpg.connect(f"{run.arena.postgres.admin_url.rpartition('/')[0]}/mailer")
    try:
        await administrator.execute(statement)
    finally:
        await administrator.close()
