"""SIGTERM, as a deployment sends it: the process finishes what it does, exits 0, and the next one takes over."""

import asyncio
import re
import signal

import pytest
from e2e.checker import Scenario
from e2e.clients import submit_all
from e2e.eventually import eventually
from e2e.killing import send
from e2e.stack import KINDS, Stack


@pytest.mark.parametrize("kind", KINDS)
async def test_a_terminated_process_exits_0_and_loses_nothing(kind: str, stack: Stack, scenario: Scenario) -> None:
    supervisor = stack.log_folder / "supervisor.log"
    said = len(supervisor.read_text())
    victims = stack.pids(kind)

    async def ends() -> list[str]:
        lines = re.findall(rf"^{kind}[-0-9]* died \((.+?)\)", supervisor.read_text()[said:], re.MULTILINE)
        return [str(line) for line in lines]

    async def terminate() -> list[str]:
        async def some_are_accepted() -> bool:
            return len(scenario.log.accepted()) >= 10

        await eventually(some_are_accepted, every=0.01)
        send(victims, signal.SIGTERM)
        return await eventually(ends, lambda seen: len(seen) == len(victims), what=f"{kind} ends")

    async with asyncio.TaskGroup() as group:
        group.create_task(submit_all(stack, scenario.log, scenario.crowd.people(40), clients=10))
        ended = group.create_task(terminate())

    assert ended.result() == ["exit status 0"] * len(victims)

    async def successors() -> list[int]:
        return stack.pids(kind)

    await eventually(successors, lambda pids: len(pids) == len(victims) and not set(pids) & set(victims))
    await scenario.verify()
