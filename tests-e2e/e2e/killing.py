"""Ending processes at bad moments: only a kill that interrupts work counts."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from e2e import evidence
from e2e.client_log import ClientLog
from e2e.eventually import PATIENCE, eventually
from e2e.stack import Stack

Holding = Callable[[], Awaitable[str]]
"""Says what work a stopped process holds; empty when none."""


def send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


async def kill_at_work(stack: Stack, kind: str, holding: Holding, chance: random.Random, within: float = 20.0) -> str:
    """SIGKILL all processes of a kind at a moment when they hold work, and say what they held.

    They are frozen first; when they turn out to be idle they go on, and another moment is tried. A run in which
    no such moment came is void: AssertionError.
    """
    ends = time.monotonic() + within * PATIENCE
    while time.monotonic() < ends:
        pids = await eventually(lambda: _living(stack, kind), within=20, what=f"{kind} runs")
        send(pids, signal.SIGSTOP)
        try:
            held = await holding()
        except BaseException:
            send(pids, signal.SIGCONT)
            raise
        if held:
            send(pids, signal.SIGKILL)
            await eventually(partial(_gone, pids), what=f"{kind} is dead", every=0.02)
            return held
        send(pids, signal.SIGCONT)
        await asyncio.sleep(chance.uniform(0.01, 0.1))
    raise AssertionError(f"void: {kind} held no work for {within * PATIENCE:g} s, so nothing was interrupted")


async def _living(stack: Stack, kind: str) -> list[int]:
    return [pid for pid in stack.pids(kind) if _is_alive(pid)]


async def _gone(pids: list[int]) -> bool:
    return not any(_is_alive(pid) for pid in pids)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with suppress(OSError), open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:  # noqa: PTH123 - gone between two calls
        return stat.read().rpartition(")")[2].split()[0] != "Z"
    return True


def work_of(stack: Stack, kind: str, log: ClientLog) -> Holding:
    """How to see, from outside, that a kind of process has work in hand."""

    async def api() -> str:
        return f"{log.in_flight} requests" if log.in_flight else ""

    async def intake_worker() -> str:
        outbox = await _count(stack, "intake", "SELECT count(*) FROM outbox")
        decided = await _count(stack, "assignment", "SELECT count(*) FROM assignments")
        heard = await _count(stack, "intake", "SELECT count(*) FROM timeline WHERE type = 'lead.assigned'")
        return f"{outbox} unsent, {decided - heard} unheard" if outbox or decided > heard else ""

    async def assignment_worker() -> str:
        outbox = await _count(stack, "assignment", "SELECT count(*) FROM outbox")
        pending = await _count(stack, "assignment", "SELECT count(*) FROM leads WHERE state = 'pending'")
        return f"{outbox} unsent, {pending} pending" if outbox or pending else ""

    async def mailer_worker() -> str:
        outbox = await _count(stack, "mailer", "SELECT count(*) FROM outbox")
        sending = await _count(stack, "mailer", "SELECT count(*) FROM deliveries WHERE state IN ('queued', 'sending')")
        return f"{outbox} unsent, {sending} not sent" if outbox or sending else ""

    kinds: dict[str, Holding] = {
        "intake-api": api,
        "intake-worker": intake_worker,
        "assignment-worker": assignment_worker,
        "mailer-worker": mailer_worker,
    }
    return kinds[kind]


async def _count(stack: Stack, name: str, query: str) -> int:
    return int(await evidence.fetch_value(stack, name, query))
