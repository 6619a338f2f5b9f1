"""The seven windows: the instants between two steps of which exactly one has happened when a process dies."""

import asyncio
import operator
import time
from collections import Counter
from functools import partial
from typing import Any

import httpx
from e2e import evidence
from e2e.checker import hash_of
from e2e.eventually import eventually

from chaos.fault_proxy import ACK, COMMITTED, MAIL_END, FaultProxy, Side, Trap
from chaos.members import WORKERS, Kind, Member, OwnRoot
from chaos.run import Run, VoidRunError, scenario
from chaos.scenarios.messages import heard
from chaos.scenarios.seen import probe, unfinished
from chaos.scenarios.standing_in import stand_ins
from chaos.scripted_smtp import STORED

OUTAGE_S = 10.0
_BOOT_S = 4.0
"""What a broker takes to start at least."""
_RELAYS: tuple[tuple[Kind, str], ...] = (
    ("intake-worker", "intake"),
    ("assignment-worker", "assignment"),
    ("mailer-worker", "mailer"),
)


@scenario("F02", window=True)
async def api_dies_between_commit_and_answer(run: Run) -> None:
    """API killed after COMMIT, before the 201: the same key gets the same lead."""
    (api,) = run.arena.of("intake-api")
    async with run.under_load():
        committed = await _commit_unanswered(run, api.hops["database"])
        await run.arena.kill(api)
        run.healed()
    accepted = run.scenario.log.accepted()
    attempts: dict[str, int] = {}
    for attempt in run.scenario.log.attempts:
        attempts[attempt.key] = attempts.get(attempt.key, 0) + 1
    replayed = [key for key in committed if attempts[key] > 1]
    if not replayed:
        raise VoidRunError("every committed submission had been answered")
    for key in replayed:
        run.check(accepted.get(key) == committed[key], f"key {key} was answered with another lead than it had made")
    run.figures["replays"] = len(replayed)


async def _commit_unanswered(run: Run, proxy: FaultProxy) -> dict[str, str]:
    """Freeze at a commit of a submission that the API has not been told of; give key -> lead of those."""
    for _ in range(30):
        trap = proxy.arm("s2c", COMMITTED, "freeze", skip=run.chance.randrange(12))
        await run.sprung(trap)
        stored = {
            row["key_hash"]: str(row["lead_id"])
            for row in await evidence.fetch(run.stack, "intake", _STORED_KEYS, run.scenario.since)
        }
        log = run.scenario.log
        answered = {attempt.key for attempt in log.attempts if attempt.status is not None}
        open_keys = {attempt.key for attempt in log.attempts} - answered
        found = {key: stored[hash_of(key)] for key in open_keys if hash_of(key) in stored}
        if found:
            return found
        proxy.heal()
    raise VoidRunError("no commit of a submission was caught")


_STORED_KEYS = """
    SELECT k.key_hash, s.lead_id FROM idempotency_keys k JOIN submissions s ON s.id = k.submission_id
    WHERE k.created_at >= $1
"""


@scenario("F09", window=True)
async def relay_dies_between_confirm_and_delete(run: Run) -> None:
    """Relay killed between the broker's confirm and the delete of its row: published twice, one effect."""
    kind, database = run.variant(_RELAYS)

    def freeze_database(proxy: FaultProxy) -> None:
        run.arena.owner_of(proxy).hops["database"].mode = "blackhole"

    trap = Trap("s2c", ACK, "notice", skip=run.chance.randrange(run.leads // 2), then=freeze_database)
    run.arena.lay(trap, "broker", kind)
    async with heard(run) as times:
        async with run.under_load():
            await run.sprung(trap)
            victim = run.arena.victim_of(trap)
            left = {row["event_id"] for row in await run.fetch(database, "SELECT event_id FROM outbox")}
            confirmed = left & set(times)
            await run.arena.kill(victim)
            run.healed()
        await run.reached()
    if not confirmed:
        raise VoidRunError("no outbox row was left of what had been confirmed")
    twice = [event_id for event_id in confirmed if times[event_id] > 1]
    run.check(twice, f"none of {len(confirmed)} confirmed rows that were left was published again under its id")
    run.figures |= {"victim": victim.name, "published_twice": len(twice)}


@scenario("F14", window=True)
async def broker_crashes(run: Run) -> None:
    """Broker killed -9 with a consumer's ack, or its own confirm, on the way: nothing confirmed is lost."""
    kind, side = run.variant([(kind, side) for side in _SIDES for kind in WORKERS])
    held = Trap(side, ACK, "freeze", skip=run.chance.randrange(run.leads // 2))
    run.arena.lay(held, "broker", kind)
    async with run.under_load():
        await run.sprung(held)
        await run.arena.kill_service(run.arena.rabbitmq)
        for proxy in run.arena.hops("broker"):
            proxy.cut()
        run.arena.heal()
        run.figures["at_work"] = await unfinished(run)
        run.healed()
    run.figures["held"] = "unacked" if side == "c2s" else "unconfirmed"


_SIDES: tuple[Side, ...] = ("c2s", "s2c")
"""Whose ack does not arrive: the broker holds a message unacked, or one that its publisher knows nothing of."""


@scenario("F15", window=True)
async def broker_is_restarted(run: Run) -> None:
    """Broker stopped for a while: POST stays 201, workers say not ready but alive, and reconnect unaided."""
    node = run.arena.rabbitmq
    await run.load(run.chance.randrange(3, 8))
    before = len(run.scenario.log.accepted())
    await run.arena.take_down(node)
    down_at = time.monotonic()
    try:
        await run.load(run.leads - before)
        run.check(set(run.scenario.log.statuses()) == {"201"}, f"answers {run.scenario.log.statuses()}")
        workers = run.arena.of(*WORKERS)
        ready = await eventually(
            lambda: probe(workers, "/readyz"), lambda codes: set(codes) == {503}, within=20, what="all say not ready"
        )
        alive = await probe(workers, "/livez")
        run.check(set(ready) == {503} and set(alive) == {200}, f"ready {ready}, alive {alive}")
        run.figures["backlog_peak"] = await run.fetch_value("intake", "SELECT count(*) FROM outbox")
        # The outage's length is the fault; to start is part of it.
        await asyncio.sleep(max(0.0, OUTAGE_S - _BOOT_S - (time.monotonic() - down_at)))
    finally:
        await run.arena.bring_up(node)
    down = time.monotonic() - down_at
    run.healed()
    await eventually(
        lambda: probe(workers, "/readyz"), lambda codes: set(codes) == {200}, within=30, what="all are ready again"
    )
    run.figures |= {"down_s": round(down, 1), "rejoined_s": round(time.monotonic() - down_at - down, 1)}
    if down < OUTAGE_S:
        raise VoidRunError(f"the broker was away for {down:.1f} s only")
    if not run.figures["backlog_peak"]:
        raise VoidRunError("nothing was waiting for the broker")


@scenario("F25", window=True)
async def assignment_dies_between_commit_and_ack(run: Run) -> None:
    """Assignment-worker killed between COMMIT and ack: redelivered, assigned once."""
    trap = Trap("c2s", ACK, "freeze", skip=run.chance.randrange(run.leads // 2))
    run.arena.lay(trap, "broker", "assignment-worker")
    async with run.under_load():
        await run.sprung(trap)
        victim = run.arena.victim_of(trap)
        await run.arena.kill(victim)
        run.healed()
    doubles = await run.fetch_value("assignment", _DECIDED_TWICE, run.scenario.since)
    run.check(not doubles, f"{doubles} leads were decided twice")
    run.figures["victim"] = victim.name


_DECIDED_TWICE = """
    SELECT count(*) FROM (SELECT lead_id FROM assignments WHERE assigned_at >= $1
    GROUP BY lead_id HAVING count(*) > 1) AS twice
"""


@scenario("F30", window=True)
async def mailer_dies_between_dot_and_reply(run: Run) -> None:
    """Mailer killed between the final dot and the 250: flagged ambiguous, any copy is the same mail."""
    await _die_before_the_reply(run, arrives=run.variant((False, True)))


@scenario("F30b")
async def mailer_holds_what_nobody_knows(run: Run) -> None:
    """The same with the policy `hold`: a person decides, and what they send is the same mail."""
    arrives = run.variant((False, True))
    holding = OwnRoot("mailer_worker.worker", {"MAILER_AMBIGUOUS_POLICY": "hold"})
    async with stand_ins(run, {"mailer-worker": [holding] * 2}):
        await _die_before_the_reply(run, arrives=arrives)
        await _send_what_is_held(run, arrives=arrives)


async def _die_before_the_reply(run: Run, *, arrives: bool) -> None:
    run.figures["arrived_first"] = arrives
    before = run.chance.randrange(run.leads // 2)
    trap = Trap("c2s", MAIL_END, "freeze_after" if arrives else "freeze", skip=before)
    run.arena.lay(trap, "mail", "mailer-worker")
    async with run.under_load():
        await run.sprung(trap)
        victim = run.arena.victim_of(trap)
        if arrives:
            await run.mails(before + 1)
        await kill_while_sending(run, victim)


async def _send_what_is_held(run: Run, *, arrives: bool) -> None:
    """Nothing is sent again until a person asks for it: then it is the same mail."""

    async def only_held() -> bool:
        held[:] = await run.fetch("mailer", _HELD, run.scenario.since)
        return len(held) == await unfinished(run)

    async def shown(staff: httpx.AsyncClient, lead: str) -> tuple[str, str | None]:
        seen = (await staff.get(f"/api/v1/leads/{lead}")).json()
        return seen["status"], seen["outreach_reason"]

    def copies() -> dict[str, int]:
        arrived = Counter(mail.address for mail in run.arena.smtp.mails)
        return {row["address"]: arrived[row["address"]] for row in held}

    held: list[Any] = []
    await eventually(only_held, within=30, what="only what is held is left")
    before = copies()
    run.check(held and max(before.values()) <= 1, f"{sorted(before.values())} copies before a person asked")
    run.check(not arrives or sum(before.values()), "the mail that arrived is not held")
    async with run.staff() as staff:
        for row in held:
            lead, failed = str(row["lead_id"]), ("outreach_failed", "held")
            await eventually(partial(shown, staff, lead), partial(operator.eq, failed), within=10, what="staff see it")
            answer = await staff.post(f"/api/v1/leads/{lead}/outreach")
            assert answer.status_code == 202, answer.text
    await run.reached()
    more = {address: count - before[address] for address, count in copies().items()}
    run.check(set(more.values()) == {1}, f"{sorted(more.values())} copies after a person asked")
    run.figures["held"] = len(held)


_HELD = """
    SELECT lead_id, address FROM deliveries
    WHERE ambiguous AND state = 'failed' AND reason = 'held' AND first_queued_at >= $1
"""


@scenario("F31", window=True)
async def mailer_dies_between_reply_and_commit(run: Run) -> None:
    """Mailer killed between the 250 and its COMMIT of `sent`: flagged ambiguous, the copy is the same mail."""
    told = Trap("s2c", STORED, "notice")

    def freeze_database(proxy: FaultProxy) -> None:
        run.arena.owner_of(proxy).hops["database"].mode = "blackhole"
        proxy.set(told)

    dot = Trap("c2s", MAIL_END, "notice", skip=run.chance.randrange(run.leads // 2), then=freeze_database)
    run.arena.lay(dot, "mail", "mailer-worker")
    async with run.under_load():
        await run.sprung(dot)
        await run.sprung(told)
        await kill_while_sending(run, run.arena.victim_of(dot))
    run.figures |= await _window_ms(run)


async def _window_ms(run: Run) -> dict[str, float]:
    """How long the window is for mails that nobody disturbed: from the mail taken to the write of `sent`."""
    await run.reached()
    taken = {mail.message_id: mail.taken_at for mail in run.arena.smtp.mails}
    rows = await run.fetch("mailer", _SENT, run.scenario.since)
    found = sorted((row["sent_at"].timestamp() - taken[row["message_id"]]) * 1000 for row in rows)
    run.check(found, "every mail was disturbed")
    return {f"window_ms_p{part}": round(found[len(found) * part // 100], 1) for part in (50, 99) if found}


_SENT = """
    SELECT message_id, sent_at FROM deliveries
    WHERE state = 'sent' AND NOT ambiguous AND first_queued_at >= $1 AND kind = 'welcome'
"""


async def kill_while_sending(run: Run, victim: Member) -> None:
    """Kill a mailer whose attempt is under way, and expect that it is flagged when its lease is over."""
    sending = [
        str(row["id"])
        for row in await evidence.fetch(run.stack, "mailer", "SELECT id FROM deliveries WHERE state = 'sending'")
    ]
    await run.arena.kill(victim)
    run.healed()
    if not sending:
        raise VoidRunError("no attempt was under way")
    run.figures["victim"] = victim.name

    async def flagged() -> int:
        count: int = await run.fetch_value(
            "mailer", "SELECT count(*) FROM deliveries WHERE ambiguous AND id = ANY($1::uuid[])", sending
        )
        return count

    await eventually(flagged, within=30, what="the lost attempt is flagged ambiguous")
