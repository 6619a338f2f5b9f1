"""Handlers that end the process, hang or are slow: an assignment-worker with a composition root of the tests' own."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from e2e import broker
from e2e.eventually import eventually

from chaos.members import Member, OwnRoot
from chaos.roots import DIES, HANGS, SLOWNESS
from chaos.run import Run, VoidRunError, scenario
from chaos.scenarios.messages import channel_of, registration_of_nobody
from chaos.scenarios.standing_in import stand_ins

_QUEUE = "assignment.leads"
_HEALTHY = 39
_CRASHES = 4
_SLOWNESS_S = 0.2
_DEADLINE_S = 2
_ATTEMPTS = 3


def _own_assignment_workers(
    run: Run, count: int, settings: Mapping[str, str]
) -> AbstractAsyncContextManager[list[Member]]:
    return stand_ins(run, {"assignment-worker": [OwnRoot("chaos.roots.assignment", settings)] * count})


@scenario("F21")
async def a_message_kills_the_process(run: Run) -> None:
    """A body that ends the process: given up at its fourth mark, its neighbours done once, nothing held by the broker.

    Prefetch 1 or 10, one worker or two: seeds 1 to 4 are the four of them.
    """
    prefetch, workers = (1, 10)[run.seed % 2], (1, 2)[run.seed // 2 % 2]
    poison = registration_of_nobody({DIES: "yes"})
    run.poisoned.add(str(poison.message_id))
    async with _own_assignment_workers(run, workers, {"ASSIGNMENT_CONSUMER_PREFETCH": str(prefetch)}) as own:
        names = {member.name for member in own}
        async with run.under_load(_HEALTHY), channel_of(run) as channel:
            await run.accepted(run.chance.randrange(_HEALTHY // 2))
            await channel.default_exchange.publish(poison, _QUEUE)
        await run.reached(120)
        await eventually(lambda: _given_up(run, str(poison.message_id)), within=90, what="the poison is given up")
        crashes = [words for words in run.arena.deaths if words.split()[0] in names]
        run.arena.deaths[:] = [words for words in run.arena.deaths if words not in crashes]
    run.healed()
    if not crashes:
        raise VoidRunError("no process died of it")
    run.check(len(crashes) == _CRASHES, f"{len(crashes)} processes died, not {_CRASHES}")
    given_up = await _given_up(run, str(poison.message_id))
    run.check(given_up == {"ProcessDied": _CRASHES}, f"given up as {given_up}")
    await eventually(lambda: _held(run), lambda held: not held, within=15, what="the broker holds nothing unreadable")
    run.figures |= {"prefetch": prefetch, "workers": workers, "crashes": len(crashes)}


@scenario("F22")
async def handlers_are_slow_and_one_hangs(run: Run) -> None:
    """Handlers ten times slower, and one that never ends: its deadline ends it, it is given up, the others go on."""
    hanging = registration_of_nobody({HANGS: "yes"})
    run.poisoned.add(str(hanging.message_id))
    settings = {
        SLOWNESS: str(_SLOWNESS_S),
        "ASSIGNMENT_CONSUMER_HANDLER_TIMEOUT": str(_DEADLINE_S),
        "ASSIGNMENT_CONSUMER_MAX_ATTEMPTS": str(_ATTEMPTS),
        "ASSIGNMENT_CONSUMER_PREFETCH": "2",
    }
    async with _own_assignment_workers(run, 2, settings) as own, channel_of(run) as channel:
        lengths: list[int] = []
        watching = asyncio.create_task(_watch_length(run, lengths), name="queue length")
        async with run.under_load():
            await run.accepted(run.chance.randrange(5))
            await channel.default_exchange.publish(hanging, _QUEUE)
        await run.reached()
        given_up = await eventually(
            lambda: _given_up(run, str(hanging.message_id)), within=90, what="the hanging message is given up"
        )
        watching.cancel()
        said = "".join(member.service.log.read_text(encoding="utf-8", errors="replace") for member in own)
    run.healed()
    if not given_up.get("HandlerDeadlineError"):
        raise VoidRunError(f"no handler hung: given up as {given_up}")
    run.check(given_up == {"HandlerDeadlineError": _ATTEMPTS}, f"given up as {given_up}")
    run.check("consumer_paused" not in said, "a hanging handler was taken for a database that is away")
    run.figures["queue_peak"] = max(lengths, default=0)


async def _watch_length(run: Run, lengths: list[int]) -> None:
    """Note the length of the queue until cancelled."""
    while True:
        row = await broker.management(run.stack, f"/api/queues/%2F/{_QUEUE}")
        lengths.append(int(row.get("messages") or 0))
        await asyncio.sleep(0.3)  # the broker's figures are that old


async def _given_up(run: Run, message_id: str) -> dict[str, int]:
    """Error type -> attempts of a message that is a dead letter; empty while it is not."""
    query = "SELECT error_type, attempts FROM dead_letters WHERE message_id = $1 AND last_at >= $2"
    return {
        row["error_type"]: row["attempts"] for row in await run.fetch("intake", query, message_id, run.scenario.since)
    }


async def _held(run: Run) -> dict[str, int]:
    """Messages that a queue counts and gives to nobody."""
    held = {}
    for row in await broker.management(run.stack, "/api/queues"):
        ready, unacked = row.get("messages_ready") or 0, row.get("messages_unacknowledged") or 0
        held[str(row["name"])] = int(row.get("messages") or 0) - ready - unacked
    return {name: count for name, count in held.items() if count}
