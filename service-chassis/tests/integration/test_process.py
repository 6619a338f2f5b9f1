"""The life of a worker process: it starts, says how it is, stops in order with 0, and dies with one line and 1."""

import asyncio
import contextlib
import json
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from shared_schemas.topology import ASSIGNMENT_LEADS, ASSIGNMENT_ROSTER

from .bench import Bench, changed
from .waiting import eventually, until

WHOLE_PROCESS = Path(__file__).parent / "whole_process.py"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def start(bench: Bench, folder: Path, **options: Any) -> asyncio.subprocess.Process:
    whole = {"database": bench.database.app_url, "amqp": bench.amqp_url, "folder": str(folder), **options}
    return await asyncio.create_subprocess_exec(
        sys.executable, str(WHOLE_PROCESS), json.dumps(whole), stderr=asyncio.subprocess.PIPE
    )


async def said(process: asyncio.subprocess.Process) -> list[dict[str, Any]]:
    """The log of a process that ends, line by line; each one is JSON."""
    _, errors = await asyncio.wait_for(process.communicate(), 30)
    return [json.loads(line) for line in errors.decode().splitlines()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_in_order_and_it_exits_0(bench: Bench, tmp_path: Path, number: signal.Signals) -> None:
    port = free_port()
    process = await start(bench, tmp_path, port=port, slow=0.5)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:

        async def ask(path: str) -> tuple[int, Any]:
            try:
                answer = await client.get(path)
            except httpx.HTTPError as error:
                return 0, type(error).__name__
            return answer.status_code, answer.text

        await eventually(lambda: ask("/readyz"), lambda seen: seen[0] == 200, within=30)
        assert (await ask("/livez"))[0] == 200
        assert "outbox_rows" in (await ask("/metrics"))[1]
    await bench.publish(changed("in flight"))
    await until((tmp_path / "entered").exists)
    process.send_signal(number)
    began = time.monotonic()
    lines = await said(process)
    assert process.returncode == 0
    assert time.monotonic() - began < 15
    assert lines[-1]["event"] == "stopped"
    assert await bench.effects() == ["in flight"], "the handler in flight finished"
    assert await bench.count("outbox") == 0, "and the relay said what it had to say"
    assert len(await bench.take_all(ASSIGNMENT_LEADS.name, 1)) == 1
    assert await bench.waiting() == (0, 0), "and its message was acked"


async def test_a_task_that_dies_ends_the_process_with_1_and_one_line(bench: Bench, tmp_path: Path) -> None:
    process = await start(bench, tmp_path, port=free_port(), loop="dies")
    lines = await said(process)
    assert process.returncode == 1
    (line,) = [line for line in lines if line["level"] == "error"]
    assert (line["event"], line["task"], line["error_type"]) == ("task_died", "loop", "ValueError")
    assert "CANARY" not in json.dumps(lines)


async def test_a_loop_that_hangs_shows_on_livez_and_then_ends_the_process(bench: Bench, tmp_path: Path) -> None:
    port = free_port()
    process = await start(bench, tmp_path, port=port, loop="hangs", stall_limit=8)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:

        async def alive() -> tuple[int, Any]:
            try:
                answer = await client.get("/livez")
            except httpx.HTTPError as error:
                return 0, type(error).__name__
            return answer.status_code, answer.json()["checks"]

        await eventually(alive, lambda seen: seen[0] == 200)
        await eventually(alive, lambda seen: seen == (503, {"tasks": "ok", "loops": "RuntimeError"}))
    lines = await said(process)
    assert process.returncode == 1
    (line,) = [line for line in lines if line["level"] == "error"]
    assert (line["event"], line["loop"]) == ("loop_hangs", "loop")


async def test_a_blocked_event_loop_ends_the_process_too(bench: Bench, tmp_path: Path) -> None:
    process = await start(bench, tmp_path, port=free_port(), loop="blocks", stall_limit=2)
    lines = await said(process)
    assert process.returncode == 1
    (line,) = [line for line in lines if line["level"] == "error"]
    assert line["event"] == "loop_hangs"


async def test_a_loop_that_does_not_end_when_told_does_not_keep_the_process(bench: Bench, tmp_path: Path) -> None:
    port = free_port()
    process = await start(bench, tmp_path, port=port, loop="clings", loop_grace=0.5)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:

        async def alive() -> int:
            with contextlib.suppress(httpx.HTTPError):
                return (await client.get("/livez")).status_code
            return 0

        await eventually(alive, lambda code: code == 200)
    process.terminate()
    lines = await said(process)
    assert process.returncode == 1
    (line,) = [line for line in lines if line["level"] == "error"]
    assert (line["event"], line["tasks"]) == ("hangs_on_stop", ["loop"])


async def test_a_taken_ops_port_is_one_line(bench: Bench, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        process = await start(bench, tmp_path, port=port)
        lines = await said(process)
    assert process.returncode == 1
    (line,) = [line for line in lines if line["level"] == "error"]
    assert f"cannot listen on 127.0.0.1:{port}" in line["reason"]


async def test_other_arguments_on_the_broker_are_one_line(bench: Bench, tmp_path: Path) -> None:
    await bench.channel.queue_delete(ASSIGNMENT_ROSTER.retry_name)
    await bench.channel.declare_queue(ASSIGNMENT_ROSTER.retry_name, durable=True)
    process = await start(bench, tmp_path, port=free_port())
    lines = await said(process)
    assert process.returncode == 1
    (line,) = [line for line in lines if line["level"] == "error"]
    assert f"queue {ASSIGNMENT_ROSTER.retry_name} " in line["reason"]


async def test_it_starts_while_the_broker_is_away_and_says_so(bench: Bench, tmp_path: Path) -> None:
    port = free_port()
    process = await start(bench, tmp_path, port=port, amqp="amqp://a:b@127.0.0.1:1/")
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:

        async def ask() -> tuple[int, Any]:
            try:
                ready, alive = await client.get("/readyz"), await client.get("/livez")
            except httpx.HTTPError as error:
                return 0, type(error).__name__
            return ready.status_code, (ready.json()["checks"], alive.status_code)

        seen = await eventually(ask, lambda seen: seen[0] == 503 and seen[1][0]["database"] == "ok", within=30)
    assert seen[1] == ({"database": "ok", "broker": "ConnectionError"}, 200)
    process.terminate()
    await said(process)
    assert process.returncode == 0
