"""SIGTERM, as a deployment sends it: the process finishes what it does, exits 0, and the next one takes over."""

import asyncio
import random
import re
import signal
from collections.abc import Callable

from e2e.checker import Scenario
from e2e.clients import submit_all
from e2e.eventually import eventually
from e2e.killing import send
from e2e.stack import KINDS, Stack

LEADS = 100
BETWEEN = 20


async def test_terminated_processes_exit_0_and_lose_nothing(
    stack: Stack, scenario: Scenario, chance: random.Random, report: Callable[[str], None]
) -> None:
    """All processes of a kind at once, so that no sibling takes over; one kind after the other, in any order."""
    supervisor = stack.log_folder / "supervisor.log"

    async def terminate(kind: str, accepted: int) -> None:
        async def seen() -> int:
            return len(scenario.log.accepted())

        await eventually(seen, lambda count: count >= accepted, within=60, every=0.01, what=f"{accepted} accepted")
        said, victims = len(supervisor.read_text()), stack.pids(kind)

        async def ends() -> list[str]:
            return re.findall(rf"^{kind}[-0-9]* died \((.+?)\)", supervisor.read_text()[said:], re.MULTILINE)

        send(victims, signal.SIGTERM)
        ended = await eventually(ends, lambda seen: len(seen) == len(victims), what=f"{kind} ends")
        assert ended == ["exit status 0"] * len(victims)

        async def successors() -> list[int]:
            return stack.pids(kind)

        await eventually(successors, lambda pids: len(pids) == len(victims) and not set(pids) & set(victims))
        report(f"  terminated {kind} after {accepted} accepted")

    async def terminate_all() -> None:
        for number, kind in enumerate(chance.sample(KINDS, len(KINDS))):
            await terminate(kind, 10 + number * BETWEEN)

    async with asyncio.TaskGroup() as group:
        group.create_task(submit_all(stack, scenario.log, scenario.crowd.people(LEADS), clients=10))
        group.create_task(terminate_all())
    await scenario.verify()
