"""A soak: leads come in at a steady pace while faults of every kind happen, two at a time, for as long as asked.

The order of the faults and all their parameters come from one seed; their instants depend on the machine. At the end
everything is healed, what was accepted must drain, and the checker judges the whole of it.
"""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aio_pika.abc import AbstractIncomingMessage
from e2e.clients import Person
from e2e.eventually import PATIENCE, eventually

from chaos.arena import Arena
from chaos.run import Outcome, Run, described
from chaos.scripted_smtp import Step
from chaos.soak.catalogue import plans
from chaos.soak.draining import drained, mend_what_was_missed
from chaos.soak.fault import AWAY, Fault
from chaos.soak.load import ANSWERS, Load
from chaos.soak.report import machine, ran_on

LANES = 2
PROGRESS_S = 30.0
_ENDS_WITHIN = 3600.0
"""The whole end, from the last fault to the verdict: whatever hangs, a soak is over at last."""
_LOOK_WITHIN = 300.0


@dataclass
class Tallies:
    """How often faults of each kind landed, were void, and are under way."""

    landed: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    void: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    under_way: list[str] = field(default_factory=list)

    def by_subject(self) -> dict[str, dict[str, dict[str, int]]]:
        """Subject -> kind -> how often it landed and was void."""
        told: dict[str, dict[str, dict[str, int]]] = {}
        for subject, kind in sorted({*self.landed, *self.void}):
            counts = {"landed": self.landed.get((subject, kind), 0), "void": self.void.get((subject, kind), 0)}
            told.setdefault(subject, {})[kind] = counts
        return told


class Soak:
    """One soak in one arena. What faults need of it is `chaos.soak.fault.Field`."""

    def __init__(self, arena: Arena, run: Run, minutes: float, rate: float, say: Callable[[str], None]) -> None:
        self.run = run
        self.scripts: list[list[Step]] = []
        self.unbound: list[tuple[float, float]] = []
        self.heard: list[AbstractIncomingMessage] = []
        self.repeated: set[str] = set()
        self.twice: set[str] = set()
        self.tallies = Tallies()
        self._arena = arena
        self._seconds = minutes * 60
        self._say = say
        self._began = time.monotonic()
        self._plans = plans(run.seed)
        self._load = Load(run, rate, lambda: self._left > 0, self._script, self.twice)
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def arena(self) -> Arena:
        return self._arena

    async def look(self, ask: Callable[[], Awaitable[int]]) -> int:
        """Ask until there is an answer: another fault may have hit what is asked."""

        async def patiently() -> tuple[int]:
            try:
                return (await ask(),)
            except AWAY as error:
                raise AssertionError(f"{type(error).__name__}: {error}") from error

        (found,) = await eventually(patiently, within=_LOOK_WITHIN, what="there is an answer")
        return found

    async def judged(self) -> Outcome:
        """Break things for as long as asked, heal, drain, judge."""
        progress = asyncio.create_task(self._tell(), name="progress")
        try:
            async with asyncio.TaskGroup() as work:
                work.create_task(self._load.carry(), name="load")
                for number in range(LANES):
                    work.create_task(self._lane(), name=f"lane-{number}")
            self._say("  everything is healed; what was accepted drains")
            async with asyncio.timeout(_ENDS_WITHIN * PATIENCE):
                return await self._end()
        finally:
            progress.cancel()

    @property
    def _left(self) -> float:
        return self._seconds - (time.monotonic() - self._began)

    def _script(self, person: Person) -> None:
        if self.scripts:
            self.arena.smtp.script(person.email, *self.scripts.pop(0))

    async def _lane(self) -> None:
        """One fault after the other, with a breath between."""
        breath = random.Random(self.run.seed)
        while self._left > 0:
            await self._one(*next(self._plans))
            await asyncio.sleep(breath.uniform(0.5, 2.5))

    async def _one(self, subject: str, fault: Fault) -> None:
        locks = [self._locks[name] for name in sorted(fault.touches)]
        for lock in locks:
            await lock.acquire()
        words = f"{fault.kind} {fault.words}".strip()
        self.tallies.under_way.append(words)
        try:
            await self._all_run(fault.touches)
            has_landed = await fault.body(self)
        except AssertionError as error:
            self.run.failures.append(f"{words}: {error}")
            has_landed = False
        except AWAY as error:  # another fault was in the way of this one
            self._say(f"  void: {words}: {type(error).__name__}")
            has_landed = False
        except Exception as error:  # not foreseen: it fails the soak, and the rest is still worth its time
            self.run.failures.append(f"{words}: {described(BaseExceptionGroup('', [error]))}")
            has_landed = False
        finally:
            self.tallies.under_way.remove(words)
            for lock in locks:
                lock.release()
        (self.tallies.landed if has_landed else self.tallies.void)[subject, fault.kind] += 1

    async def _all_run(self, touches: frozenset[str]) -> None:
        """Wait until what died before is started again."""

        async def dead() -> list[str]:
            return [one.name for one in self.arena.members if one.kind in touches and one.pid is None]

        await eventually(dead, lambda names: not names, within=300, what="everything is started again")

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_S)
            passed = int(time.monotonic() - self._began)
            landed, void = sum(self.tallies.landed.values()), sum(self.tallies.void.values())
            now = "; ".join(self.tallies.under_way) or "nothing"
            self._say(
                f"  {passed // 60:3}:{passed % 60:02}  {len(self.run.scenario.log.accepted())} accepted,"
                f" {len(self.arena.smtp.mails)} mails, {landed} faults landed, {void} void; now: {now}"
            )

    async def _end(self) -> Outcome:
        run = self.run
        run.healed()
        self.arena.heal()
        await self.arena.all_up()
        run.figures["repaired"] = await mend_what_was_missed(run, self.unbound, self._say)
        run.figures["posted_twice"] = len(self.twice)
        log = run.scenario.log
        others = set(log.statuses()) - ANSWERS
        run.check(not others, f"answers {log.statuses()}")
        run.check(sum(self.tallies.landed.values()), "no fault landed")
        latencies = log.latencies()
        run.figures["p99_post_s"] = round(latencies[int(len(latencies) * 0.99)], 2) if latencies else None
        await drained(lambda: run.scenario.left(run.final), self._say)
        return await run.judge()


async def soak(seed: int, minutes: float, rate: float, commit: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Run one soak in an arena of its own; give the result."""
    async with Arena.running(say) as arena:
        run = await Run.begin(arena, seed, say)
        one = Soak(arena, run, minutes, rate, say)
        versions = await ran_on(arena)
        try:
            outcome = await one.judged()
        except* Exception as group:
            run.failures.append(described(group))
            outcome = Outcome(run.failures, run.figures, "")
    return {
        "result": "failed" if outcome.failures else "passed",
        "seed": seed,
        "commit": commit,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "minutes": minutes,
        "leads_per_s": rate,
        "patience": PATIENCE,
        "figures": outcome.figures,
        "faults": one.tallies.by_subject(),
        "machine": machine(),
        "versions": versions,
        "failures": outcome.failures,
        "checker": outcome.table,
    }
