"""Clocks that differ: whatever is due or leased is so by database time, so rows are made older or younger there."""

import asyncio
import json
import signal
import time
from datetime import UTC, datetime

from e2e import evidence
from e2e.eventually import eventually

from chaos.fault_proxy import COMMIT, MAIL_END, FaultProxy, Trap
from chaos.home import SETTINGS
from chaos.members import Kind, Member, OwnRoot
from chaos.roots import CLOCK_SKEW, PROCESS
from chaos.run import Run, VoidRunError, scenario
from chaos.scenarios.seen import idle_transactions
from chaos.scenarios.standing_in import stand_ins
from chaos.scripted_smtp import Reply

_SKEW_S = 300
_MODULES: dict[Kind, str] = {
    "intake-worker": "intake_api.worker",
    "assignment-worker": "assignment_worker.worker",
    "mailer-worker": "mailer_worker.worker",
}
_EXPIRE_CLAIMS = """
    UPDATE idempotency_keys SET lease_until = lease_until - interval '1 hour' WHERE submission_id IS NULL
"""
_PROLONG_ATTEMPTS = """
    UPDATE deliveries SET lease_until = lease_until + interval '1 hour' WHERE state = 'sending' RETURNING id
"""
_EXPIRE_ATTEMPTS = """
    UPDATE deliveries SET lease_until = lease_until - interval '2 hours'
    WHERE state = 'sending' AND id = ANY($1) RETURNING id
"""
_AMBIGUOUS = "SELECT count(*) FROM deliveries WHERE ambiguous AND id = ANY($1)"
_SHIFT = """
    UPDATE deliveries SET next_attempt_at = next_attempt_at + $1 * interval '1 hour'
    WHERE state = 'deferred' AND next_attempt_at IS NOT NULL RETURNING lead_id
"""


@scenario("F45")
async def clocks_differ(run: Run) -> None:
    """Replicas ten minutes apart, leases an hour old, a mail an hour away: nothing too early or late, no storm."""
    await _replicas_disagree(run)
    await _claim_is_old(run)
    await _attempt_is_old(run)
    await _mail_is_due_in_an_hour(run)
    run.healed()


async def _replicas_disagree(run: Run) -> None:
    """Of two workers of each kind one is five minutes fast, the other slow: no lease, no retry and no order suffers."""
    roots: dict[Kind, list[OwnRoot]] = {
        kind: [OwnRoot("chaos.roots.skewed", {PROCESS: module, CLOCK_SKEW: str(skew)}) for skew in (_SKEW_S, -_SKEW_S)]
        for kind, module in _MODULES.items()
    }
    people = run.scenario.crowd.people(run.leads)
    put_off = run.chance.sample(people, 3)
    for person in put_off:
        run.arena.smtp.script(person.email, *[Reply("rcpt", 450)] * 2)
    async with stand_ins(run, roots) as own:
        await run.submit(people)
        await run.reached()
        fast = sorted(_seconds_fast(member) for member in own)
    half = len(own) // 2
    if any(seconds > -_SKEW_S / 2 for seconds in fast[:half]) or any(seconds < _SKEW_S / 2 for seconds in fast[half:]):
        raise VoidRunError(f"the clocks were fast by {fast} s")
    ambiguous = await run.fetch_value(
        "mailer", "SELECT count(*) FROM deliveries WHERE ambiguous AND first_queued_at >= $1", run.scenario.since
    )
    run.check(ambiguous == 0, f"{ambiguous} attempts were taken for lost while their lease ran")
    tries = [run.arena.smtp.conversations[person.email] for person in put_off]
    run.check(tries == [3] * len(put_off), f"mails that were put off twice were tried {tries} times")


def _seconds_fast(member: Member) -> float:
    """How fast a process's clock is by the last line of its log, less the line's age."""
    last = member.service.log.read_text(encoding="utf-8", errors="replace").splitlines()[-1]
    return (datetime.fromisoformat(json.loads(last)["timestamp"]) - datetime.now(UTC)).total_seconds()


async def _claim_is_old(run: Run) -> None:
    """An API died with a claim on a key whose lease is over by the database's clock: the next one takes it at once."""
    (api,) = run.arena.of("intake-api")
    async with run.under_load(run.leads // 2):
        for _ in range(30):
            trap = api.hops["database"].arm("c2s", COMMIT, "freeze", skip=run.chance.randrange(4))
            await run.sprung(trap)
            if await idle_transactions(run, "intake", "UPDATE idempotency_keys%"):
                break
            api.hops["database"].heal()
        else:
            raise VoidRunError("no commit of a submission was caught")
        await run.arena.kill(api)
        async with evidence.database(run.stack, "intake") as intake:
            done = await intake.execute(_EXPIRE_CLAIMS)
    run.figures["claims_taken"] = int(done.rpartition(" ")[2])
    if not run.figures["claims_taken"]:
        raise VoidRunError("no claim was left of the API that died")


async def _attempt_is_old(run: Run) -> None:
    """A mailer sleeps in an attempt: another takes it when its lease is over there, and not before.

    What the sleeper says of it when it wakes up is not written.
    """
    trap = Trap("c2s", MAIL_END, "notice", skip=run.chance.randrange(4))

    def stop(proxy: FaultProxy) -> None:
        run.arena.owner_of(proxy).signal(signal.SIGSTOP)

    trap.then = stop
    run.arena.lay(trap, "mail", "mailer-worker")
    try:
        async with run.under_load(run.leads // 2):
            await run.sprung(trap)
            async with evidence.database(run.stack, "mailer") as mailer:
                under_way = [row["id"] for row in await mailer.fetch(_PROLONG_ATTEMPTS)]
        await asyncio.sleep(float(SETTINGS["MAILER_SMTP_LEASE"]) + 2)  # that nothing happens is what is looked at
        early = await run.fetch_value("mailer", _AMBIGUOUS, under_way)
        run.check(early == 0, f"{early} attempts were taken over before their lease was over")
        began = time.monotonic()
        async with evidence.database(run.stack, "mailer") as mailer:
            held = [row["id"] for row in await mailer.fetch(_EXPIRE_ATTEMPTS, under_way)]
        if not held:
            raise VoidRunError("no attempt was held by the sleeper")
        await eventually(
            lambda: run.fetch_value("mailer", _AMBIGUOUS, held),
            lambda count: count == len(held),
            within=20,
            what="what was under way is flagged ambiguous",
        )
        run.figures["attempts_taken_s"] = round(time.monotonic() - began, 1)
        await run.reached()
    finally:
        if trap.at:
            run.arena.victim_of(trap).signal(signal.SIGCONT)


async def _mail_is_due_in_an_hour(run: Run) -> None:
    """The clock was set back an hour: a deferred mail waits, and is tried once when its time has come."""
    (person,) = run.scenario.crowd.people(1)
    run.arena.smtp.script(person.email, *[Reply("rcpt", 450)] * 3)
    await run.submit([person])

    async def shifted() -> int:
        async with evidence.database(run.stack, "mailer") as mailer:
            return len(await mailer.fetch(_SHIFT, 1))

    await eventually(shifted, within=20, every=0.05, what="a deferred mail is an hour away")
    tries = run.arena.smtp.conversations[person.email]
    if tries > 3:
        raise VoidRunError("the mail was taken before its time was moved")
    await run.load(5)
    await asyncio.sleep(3)  # three times as long as it would have waited: that nothing happens is what is looked at
    early = run.arena.smtp.conversations[person.email] - tries
    run.check(early == 0, f"a mail that is due in an hour was tried {early} times")
    async with evidence.database(run.stack, "mailer") as mailer:
        await mailer.fetch(_SHIFT, -1)
    await run.reached()
    expected = 4
    run.check(
        run.arena.smtp.conversations[person.email] == expected,
        f"{run.arena.smtp.conversations[person.email]} conversations instead of {expected}",
    )
