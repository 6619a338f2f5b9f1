"""A mail server that refuses, drops the connection, or hangs."""

import random
from collections.abc import Sequence

from e2e.eventually import eventually

from chaos.scripted_smtp import Drop, Hang, Reply, Step
from chaos.soak.fault import LANDS_WITHIN, Fault, Field, Planner


def _mail_is_refused(chance: random.Random) -> Fault:
    choices: list[list[Step]] = [
        [Reply("rcpt", 450)] * 2,
        [Reply("rcpt", 421)],
        [Reply("data", 451)],
        [Reply("after_dot", 452)],
        [Reply("rcpt", 450), Reply("after_dot", 451)],
    ]
    scripts = chance.sample(choices, 3)
    gate: list[Step] = list(chance.sample([Reply("connect", 421), Reply("mail", 451)], 1))
    return _scripted("mail refused for now", scripts, gate)


def _mail_is_dropped(chance: random.Random) -> Fault:
    choices: list[list[Step]] = [[Drop("after_dot")], [Drop("data")], [Drop("rcpt")]]
    return _scripted("mail connection dropped", [[Drop("after_dot")], *chance.sample(choices, 2)])


def _mail_hangs(chance: random.Random) -> Fault:
    seconds = chance.uniform(3.5, 8)  # longer than MAILER_SMTP_DEADLINE
    choices: list[list[Step]] = [[Hang("rcpt", seconds)], [Hang("data", seconds)], [Hang("after_dot", seconds)]]
    return _scripted("mail server hangs", chance.sample(choices, 2))


def _scripted(kind: str, scripts: list[list[Step]], gate: Sequence[Step] = ()) -> Fault:
    async def body(field: Field) -> bool:
        used = field.arena.smtp.scripts_used
        field.arena.smtp.gate += gate
        field.scripts += scripts

        async def played() -> int:
            return field.arena.smtp.scripts_used - used

        try:
            await eventually(played, within=3 * LANDS_WITHIN, what="a script is played")
        except AssertionError:
            return False
        return True

    words = ", ".join(type(step).__name__.lower() + " at " + step.stage for script in scripts for step in script)
    return Fault(kind, words, frozenset({"mail"}), body)


PLANNERS: tuple[Planner, ...] = (_mail_is_refused, _mail_is_dropped, _mail_hangs)
