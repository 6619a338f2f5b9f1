"""A mail server that refuses for now, hangs or vanishes, and a mailer that dies before it has said anything."""

import asyncio
import time
from collections import Counter
from itertools import pairwise

from e2e import evidence
from e2e.eventually import eventually

from chaos.fault_proxy import MAIL_END, Action, Trap
from chaos.home import SETTINGS
from chaos.run import Run, VoidRunError, scenario
from chaos.scenarios.seen import metric
from chaos.scenarios.windows import kill_while_sending
from chaos.scripted_smtp import Reply, Step

_RCPT = rb"RCPT TO:"
_OUTAGE_S = 10.0


@scenario("F33")
async def the_relay_says_not_now(run: Run) -> None:
    """4xx at connect, MAIL, RCPT, DATA and after the dot: tried again with growing delay, each mail sent once."""
    people = run.scenario.crowd.people(run.leads)
    run.arena.smtp.gate += run.chance.sample([Reply("connect", 421), Reply("mail", 451)], 2)
    scripts: list[list[Step]] = [
        [Reply("rcpt", 450)] * 3,
        [Reply("rcpt", 421)],
        [Reply("data", 451)],
        [Reply("after_dot", 452)],
        [Reply("rcpt", 450), Reply("after_dot", 451)],
    ]
    expected = {}
    for person, script in zip(run.chance.sample(people, len(scripts)), scripts, strict=True):
        run.arena.smtp.script(person.email, *script)
        expected[person.email] = len(script) + 1
    await run.submit(people)
    run.healed()
    await run.reached()
    if run.arena.smtp.gate:
        raise VoidRunError(f"nobody was refused at {[step.stage for step in run.arena.smtp.gate]}")
    tries = {address: run.arena.smtp.conversations[address] for address in expected}
    run.check(tries == expected, f"conversations {sorted(tries.values())} instead of {sorted(expected.values())}")
    run.check(len(run.arena.smtp.mails) == run.leads, f"{len(run.arena.smtp.mails)} mails for {run.leads} leads")
    first = float(SETTINGS["MAILER_RETRY_FIRST"])
    greylisted = run.arena.smtp.heard_at[next(one for one, count in expected.items() if count == len(scripts[0]) + 1)]
    gaps = [later - earlier for earlier, later in pairwise(greylisted)]
    early = [gap for turn, gap in enumerate(gaps) if gap < 0.95 * first * 2**turn]
    run.check(not early, f"tried again after {[round(gap, 1) for gap in gaps]} s: that delay does not grow")
    run.figures |= {"refusals": sum(expected.values()) - len(expected), "delays_s": [round(gap, 1) for gap in gaps]}


@scenario("F29")
async def mailer_dies_before_data(run: Run) -> None:
    """Mailer killed at RCPT: flagged ambiguous when its lease is over, and sent exactly once."""
    trap = Trap("c2s", _RCPT, "freeze", skip=run.chance.randrange(run.leads // 2))
    run.arena.lay(trap, "mail", "mailer-worker")
    async with run.under_load():
        await run.sprung(trap)
        sending = await run.fetch("mailer", "SELECT id, mail_recipient FROM deliveries WHERE state = 'sending'")
        untold = {row["mail_recipient"].lower(): row["id"] for row in sending}
        for address in [one for one in untold if one in run.arena.smtp.conversations]:
            del untold[address]
        await kill_while_sending(run, run.arena.victim_of(trap))
    if not untold:
        raise VoidRunError("no attempt was under way of which the relay had not heard")
    await run.reached()
    flagged = await run.fetch_value(
        "mailer", "SELECT count(*) FROM deliveries WHERE ambiguous AND id = ANY($1)", list(untold.values())
    )
    run.check(flagged >= 1, "the attempt that had not said RCPT is not flagged ambiguous")
    taken = Counter(mail.address.lower() for mail in run.arena.smtp.mails)
    copies = [taken[address] for address in untold]
    run.check(copies == [1] * len(untold), f"recipients of whom nothing had been said got {copies} mails")


@scenario("F32")
async def the_answer_to_the_dot_is_lost(run: Run) -> None:
    """Connection dropped, silent, or the mail late, after the final dot: ambiguous, never a plain failure."""
    answers: dict[str, Action] = {"dropped": "swallow_reply_then_cut", "silent": "freeze_after", "late": "freeze"}
    how = run.variant(list(answers))
    trap = Trap("c2s", MAIL_END, answers[how], skip=run.chance.randrange(run.leads // 2))
    run.arena.lay(trap, "mail", "mailer-worker")
    async with run.under_load():
        await run.sprung(trap)

        async def flagged() -> int:
            count: int = await run.fetch_value(
                "mailer", "SELECT count(*) FROM deliveries WHERE ambiguous AND changed_at >= $1", run.scenario.since
            )
            return count

        await eventually(flagged, within=30, what="an attempt is flagged ambiguous")
        run.arena.heal()  # what was held arrives now, after the mailer gave up
        run.healed()
    run.figures["answer"] = how


@scenario("F34")
async def the_relay_says_never(run: Run) -> None:
    """5xx at RCPT, DATA and after the dot: failed at once with its code, not tried again, the others are reached."""
    people = run.scenario.crowd.people(run.leads)
    codes = {"rcpt": 550, "data": 554, "after_dot": 552}
    refused = run.chance.sample(people, len(codes))
    for person, reply in zip(refused, [Reply("rcpt", 550), Reply("data", 554), Reply("after_dot", 552)], strict=True):
        run.arena.smtp.script(person.email, reply)
    run.final = ("reached_out", "outreach_failed")
    await run.submit(people)
    run.healed()
    await run.scenario.settle(run.final)
    rows = await run.fetch(
        "mailer", "SELECT smtp_code FROM deliveries WHERE state = 'failed' AND changed_at >= $1", run.scenario.since
    )
    run.check(sorted(row["smtp_code"] for row in rows) == sorted(codes.values()), f"failed with {rows}")
    tries = [run.arena.smtp.conversations[person.email] for person in refused]
    run.check(tries == [1] * len(refused), f"refused mails were tried {tries} times")
    await _failed_are(run, [person.email for person in refused], "refused")
    run.figures["refused"] = len(rows)


@scenario("F35")
async def the_relay_is_away(run: Run) -> None:
    """Nobody answers at the relay: the circuit opens, mails wait, no attempt is burned, all go when it is back."""
    for proxy in run.arena.hops("mail", "mailer-worker"):
        proxy.mode = "cut"
    away_since = time.monotonic()
    await run.load()

    async def waiting() -> int:
        count: int = await run.fetch_value("mailer", _AWAY, run.scenario.since)
        return count

    await eventually(waiting, lambda count: count == run.leads, within=60, what="every mail waits for the relay")
    mailers = run.arena.of("mailer-worker")
    await asyncio.sleep(max(0.0, away_since + _OUTAGE_S - time.monotonic()))  # the outage's length is the fault
    open_now = await metric(mailers, "mailer_circuit_open")
    run.check(1.0 in open_now, f"no circuit is said to be open, {open_now}")
    run.check(await waiting() == run.leads, f"{await waiting()} mails wait for the relay after {_OUTAGE_S:g} s")
    run.check(not run.arena.smtp.conversations, f"the relay heard of {len(run.arena.smtp.conversations)} mails")
    run.arena.heal()
    run.healed()
    await run.reached()
    await eventually(
        lambda: metric(mailers, "mailer_circuit_open"),
        lambda circuits: not any(circuits),
        within=30,
        what="every circuit is closed",
    )
    burned = await run.fetch_value(
        "mailer", "SELECT sum(attempts_made - 1) FROM deliveries WHERE first_queued_at >= $1", run.scenario.since
    )
    run.check(burned == 0, f"{burned} attempts were burned")


_AWAY = "SELECT count(*) FROM deliveries WHERE first_queued_at >= $1 AND reason = 'relay_away'"


@scenario("F36")
async def a_mail_is_put_off_for_ever(run: Run) -> None:
    """4xx for ever: after its time the delivery has failed as expired, and the lead says so."""
    people = run.scenario.crowd.people(run.leads)
    refused = run.chance.sample(people, 2)
    for person in refused:
        run.arena.smtp.script(person.email, *[Reply("rcpt", 450)] * 1000)
    run.final = ("reached_out", "outreach_failed")
    await run.submit(people)

    async def put_off() -> int:
        count: int = await run.fetch_value("mailer", _PUT_OFF, run.scenario.since)
        return count

    await eventually(put_off, lambda count: count == len(refused), within=60, what="both were tried twice")
    async with evidence.database(run.stack, "mailer") as mailer:
        await mailer.execute(_AGE, run.scenario.since)
    run.healed()
    await run.scenario.settle(run.final)
    expired = await run.fetch_value(
        "mailer", "SELECT count(*) FROM deliveries WHERE reason = 'expired' AND changed_at >= $1", run.scenario.since
    )
    run.check(expired == len(refused), f"{expired} of {len(refused)} have expired")
    await _failed_are(run, [person.email for person in refused], "expired")


_PUT_OFF = "SELECT count(*) FROM deliveries WHERE first_queued_at >= $1 AND state <> 'sent' AND attempts_made > 1"
_AGE = """
    UPDATE deliveries SET first_queued_at = first_queued_at - interval '3 days'
    WHERE first_queued_at >= $1 AND state <> 'sent'
"""


async def _failed_are(run: Run, addresses: list[str], reason: str) -> None:
    """Just the leads of these addresses are `outreach_failed`, for this reason."""
    rows = await run.fetch("intake", _NOT_REACHED, run.scenario.since)
    found = {row["email_key"]: (row["status"], row["outreach_reason"]) for row in rows}
    expected = dict.fromkeys([address.lower() for address in addresses], ("outreach_failed", reason))
    run.check(found == expected, f"{len(addresses)} leads should have failed ({reason}); it is {list(found.values())}")


_NOT_REACHED = """
    SELECT email_key, status, outreach_reason FROM leads WHERE created_at >= $1 AND status <> 'reached_out'
"""
