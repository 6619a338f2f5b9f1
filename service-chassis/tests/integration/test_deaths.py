"""A process that dies with a message in hand: its neighbours are done once, and what kills is given up."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from service_chassis import hearing

from .bench import ROSTER, Bench, changed
from .handling import all_acked, handled, note, subscribed
from .waiting import eventually, until

HANDLING_PROCESS = Path(__file__).parent / "handling_process.py"


class Worker:
    """A worker process, started again whenever it dies; ``deaths`` counts that."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process, self.deaths = process, 0

    async def watch(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.deaths += line == b"died\n"


@contextlib.asynccontextmanager
async def working(bench: Bench, folder: Path) -> AsyncIterator[Worker]:
    """A worker process that runs meanwhile, and ends in order afterwards."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HANDLING_PROCESS),
        json.dumps([bench.database.app_url, bench.amqp_url, str(folder)]),
        stdout=asyncio.subprocess.PIPE,
    )
    worker = Worker(process)
    watching = asyncio.create_task(worker.watch())
    try:
        yield worker
    finally:
        process.terminate()
        code = await asyncio.wait_for(process.wait(), 20)
        await watching
    assert code == 0


@pytest.mark.parametrize("rejected_before", [False, True], ids=["fresh", "rejected-before"])
async def test_a_message_that_kills_its_process_is_given_up_and_its_neighbours_are_done_once(
    bench: Bench, tmp_path: Path, rejected_before: bool
) -> None:
    killer = changed("fail once, then die" if rejected_before else "die")
    message_id = await bench.publish(killer)
    for number in range(9):
        await bench.publish(changed(f"good {number}"))
    good = sorted(f"good {number}" for number in range(9))

    async with working(bench, tmp_path) as worker:
        await handled(bench, *good, within=30)
        await eventually(bench.dead_letters, bool, within=30)
    (dead,) = await bench.dead_letters()
    assert (dead.message_id, dead.error_type, dead.attempts) == (message_id, "ProcessDied", hearing.LAST_MARK)
    assert dead.body == killer.model_dump_json().encode()
    assert worker.deaths in (hearing.LAST_MARK, hearing.LAST_MARK + 1)
    assert await bench.count("delivery_marks") == 0
    await all_acked(bench)


@pytest.mark.parametrize("moment", ["before commit", "after commit"])
async def test_a_process_that_dies_around_its_commit_has_made_one_effect(
    bench: Bench, tmp_path: Path, moment: str
) -> None:
    """After the commit and before the ack; or before the commit, where an ack would have lost the message."""
    await bench.publish(changed(f"die {moment}, once"))

    async with working(bench, tmp_path) as worker:
        await until(lambda: worker.deaths, bool, within=30)
        await bench.publish(changed("later"))
        await eventually(bench.effects, lambda seen: "later" in seen)  # what came back is delivered before it
    assert worker.deaths == 1
    assert sorted(await bench.effects()) == [f"die {moment}, once", "later"]
    assert await bench.dead_letters() == []
    await all_acked(bench)


async def test_repeats_that_come_back_are_not_taken_for_what_killed_their_process(bench: Bench) -> None:
    """Copies of one event, each of which came back without an ack, as often as a body may that is given up."""
    event, message_id = changed("one"), str(uuid4())
    for _ in range(hearing.LAST_MARK + 1):
        await bench.publish(event, message_id=message_id)
    holder = await bench.channel.get_queue(ROSTER, ensure=False)
    for copy in [await holder.get() for _ in range(hearing.LAST_MARK + 1)]:
        await copy.nack(requeue=True)

    async with bench.consuming(subscribed(note)):
        await handled(bench, "one")
        await eventually(bench.waiting, lambda seen: seen[0] == 0)
    await all_acked(bench)
    assert (await bench.effects(), await bench.dead_letters()) == (["one"], [])
    assert await bench.count("delivery_marks") == 0
