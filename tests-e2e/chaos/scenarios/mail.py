"""A mail server that refuses for now, hangs or vanishes, and a mailer that dies before it has said anything."""

from e2e import evidence
from e2e.eventually import eventually

from chaos.fault_proxy import MAIL_END, Action, Trap
from chaos.run import Run, scenario
from chaos.scenarios.windows import kill_while_sending
from chaos.scripted_smtp import Reply, Step

_RCPT = rb"RCPT TO:"


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
    tries = {address: run.arena.smtp.conversations[address] for address in expected}
    run.check(tries == expected, f"conversations {sorted(tries.values())} instead of {sorted(expected.values())}")
    run.check(len(run.arena.smtp.mails) == run.leads, f"{len(run.arena.smtp.mails)} mails for {run.leads} leads")
    run.figures["refusals"] = sum(expected.values()) - len(expected)


@scenario("F29")
async def mailer_dies_before_data(run: Run) -> None:
    """Mailer killed at RCPT: flagged ambiguous when its lease is over, and sent."""
    trap = Trap("c2s", _RCPT, "freeze", skip=run.chance.randrange(run.leads // 2))
    run.arena.lay(trap, "mail", "mailer-worker")
    async with run.under_load():
        await run.sprung(trap)
        await kill_while_sending(run, run.arena.victim_of(trap))


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
    run.figures["refused"] = len(rows)


@scenario("F35")
async def the_relay_is_away(run: Run) -> None:
    """Nobody answers at the relay: the circuit opens, mails wait, no attempt is burned, all go when it is back."""
    for proxy in run.arena.hops("mail", "mailer-worker"):
        proxy.mode = "cut"
    await run.load()

    async def waiting() -> int:
        count: int = await run.fetch_value("mailer", _AWAY, run.scenario.since)
        return count

    await eventually(waiting, lambda count: count == run.leads, within=60, what="every mail waits for the relay")
    run.arena.heal()
    run.healed()
    await run.reached()
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


_PUT_OFF = "SELECT count(*) FROM deliveries WHERE first_queued_at >= $1 AND state <> 'sent' AND attempts_made > 1"
_AGE = """
    UPDATE deliveries SET first_queued_at = first_queued_at - interval '3 days'
    WHERE first_queued_at >= $1 AND state <> 'sent'
"""
