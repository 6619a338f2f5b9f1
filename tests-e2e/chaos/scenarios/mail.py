"""A mail server that refuses for now, hangs or vanishes, and a mailer that dies before it has said anything."""

from e2e.eventually import eventually

from chaos.fault_proxy import MAIL_END, Action, Trap
from chaos.run import LEADS, Run, scenario
from chaos.scenarios.windows import kill_while_sending
from chaos.scripted_smtp import Reply, Step

_RCPT = rb"RCPT TO:"


@scenario("F33")
async def the_relay_says_not_now(run: Run) -> None:
    """4xx at connect, MAIL, RCPT, DATA and after the dot: tried again with growing delay, each mail sent once."""
    people = run.scenario.crowd.people(LEADS)
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
    run.check(len(run.arena.smtp.mails) == LEADS, f"{len(run.arena.smtp.mails)} mails for {LEADS} leads")
    run.figures["refusals"] = sum(expected.values()) - len(expected)


@scenario("F29")
async def mailer_dies_before_data(run: Run) -> None:
    """Mailer killed at RCPT: flagged ambiguous when its lease is over, and sent."""
    trap = Trap("c2s", _RCPT, "freeze", skip=run.chance.randrange(LEADS // 2))
    run.arena.lay(trap, "mail", "mailer-worker")
    async with run.under_load():
        await run.sprung(trap)
        await kill_while_sending(run, run.arena.victim_of(trap))


@scenario("F32")
async def the_answer_to_the_dot_is_lost(run: Run) -> None:
    """Connection dropped, silent, or the mail late, after the final dot: ambiguous, never a plain failure."""
    answers: dict[str, Action] = {"dropped": "swallow_reply_then_cut", "silent": "freeze_after", "late": "freeze"}
    how = run.chance.choice(list(answers))
    trap = Trap("c2s", MAIL_END, answers[how], skip=run.chance.randrange(LEADS // 2))
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
