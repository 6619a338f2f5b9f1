"""Hops that are cut, silent or slow, and answers that never arrive."""

import asyncio
import random
from collections.abc import Sequence

from chaos.fault_proxy import FaultProxy, Mode, Trap
from chaos.soak.fault import KINDS, Fault, Field, Planner, at_work, sprung
from chaos.soak.marks import MARKS, PUT, REQUESTS


def _hops_fail(mode: Mode, kind_of_fault: str) -> Planner:
    def plan(chance: random.Random) -> Fault:
        kind = chance.choice(KINDS)
        hop = chance.choice(sorted({mark[0] for mark in MARKS[kind]}))
        seconds, delay = chance.uniform(2, 10), chance.uniform(0.02, 0.3)

        async def body(field: Field) -> bool:
            proxies = field.arena.hops(hop, kind)
            if len(proxies) > 1 and chance.random() < 0.5:
                proxies = [chance.choice(proxies)]
            return await _fail(field, proxies, mode, seconds, delay)

        return Fault(kind_of_fault, f"{kind} {hop} for {seconds:.1f} s", frozenset({kind}), body)

    return plan


def _service_is_cut_off(chance: random.Random) -> Fault:
    kind = chance.choice(KINDS)
    seconds = chance.uniform(3, 10)

    async def body(field: Field) -> bool:
        proxies = [proxy for member in field.arena.of(kind) for proxy in member.hops.values()]
        return await _fail(field, proxies, "blackhole", seconds)

    return Fault("every hop silent", f"{kind} for {seconds:.1f} s", frozenset({kind}), body)


async def _fail(field: Field, proxies: Sequence[FaultProxy], mode: Mode, seconds: float, delay: float = 0.0) -> bool:
    """Let hops fail for a time; landed when somebody was connected or came, and leads were on their way."""
    seen = Trap("c2s", rb".", "notice")
    was_connected = any(proxy.connections for proxy in proxies)
    for proxy in proxies:
        proxy.set(seen)
        proxy.delay, proxy.mode = delay, mode
    try:
        await asyncio.sleep(seconds)  # the length of the failure is the fault
        busy = await at_work(field)
    finally:
        for proxy in proxies:
            proxy.lift(seen)
            proxy.mode = "pass"
    return busy > 0 and (was_connected if mode == "cut" else seen.at is not None)


def _answer_is_lost(chance: random.Random) -> Fault:
    kind = chance.choice(KINDS)
    hop = chance.choice(sorted({mark[0] for mark in MARKS[kind]}))
    trap = Trap("c2s", REQUESTS[hop], "swallow_reply_then_cut", skip=chance.randrange(10))

    async def body(field: Field) -> bool:
        field.arena.lay(trap, hop, kind)
        return await sprung(field, trap)

    return Fault("answer lost, then cut", f"{kind} {hop}", frozenset({kind}), body)


def _store_stalls(chance: random.Random) -> Fault:
    modes: tuple[Mode, ...] = ("blackhole", "cut")
    mode = chance.choice(modes)
    seconds = chance.uniform(2, 8)

    async def body(field: Field) -> bool:
        refused = field.run.scenario.log.statuses().get("503", 0)
        proxies = field.arena.hops("store", "intake-api")
        asked = Trap("c2s", PUT, "notice")
        for proxy in proxies:
            proxy.set(asked)
        await _fail(field, proxies, mode, seconds)
        field.arena.lift(asked)
        return asked.at is not None or field.run.scenario.log.statuses().get("503", 0) > refused

    words = f"{'silent' if mode == 'blackhole' else 'refuses'} for {seconds:.1f} s"
    return Fault("object store away", words, frozenset({"intake-api"}), body)


PLANNERS: tuple[Planner, ...] = (
    *(_hops_fail("cut", "hop cut"), _hops_fail("blackhole", "hop silent"), _hops_fail("latency", "hop slow")),
    *(_service_is_cut_off, _answer_is_lost, _store_stalls),
)
