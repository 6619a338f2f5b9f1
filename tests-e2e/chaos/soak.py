"""A soak: leads come in at a steady pace while faults of every kind happen, two at a time, for as long as asked.

The order of the faults and all their parameters come from one seed; their instants depend on the machine. At the end
everything is healed, what was accepted must drain, and the checker judges the whole of it.
"""

import asyncio
import itertools
import json
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

import asyncpg
import httpx
from aio_pika.exceptions import AMQPError
from e2e import broker, evidence
from e2e.clients import Person, http_client, submit
from e2e.documents import small_pdf
from e2e.eventually import PATIENCE, eventually

from chaos.arena import Arena
from chaos.run import Outcome, Run, described
from chaos.scripted_smtp import Step
from chaos.soak_faults import PLANNERS, Fault

CLIENTS = 16
LANES = 2
PROGRESS_S = 30.0
DRAIN_WITHIN = 240.0
ANSWERS = frozenset({"201", "409", "503", "unknown"})
"""What a client may be told while things break."""
_SUBMIT_WITHIN = 600.0
_LOOK_WITHIN = 90.0
_AWAY = (
    AssertionError,
    OSError,
    TimeoutError,
    httpx.HTTPError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    AMQPError,
)
_BEFORE_UNBOUND_S = 60.0


def plans(seed: int) -> Iterator[Fault]:
    """The faults of a seed, in their order: every kind once, shuffled, then again."""
    order = random.Random(seed)
    for number in itertools.count():
        if number % len(PLANNERS) == 0:
            bag = order.sample(PLANNERS, len(PLANNERS))
        yield bag[number % len(PLANNERS)](random.Random(f"{seed}-{number}"))


@dataclass
class Tallies:
    """How often faults of each kind landed, were void, and are under way."""

    landed: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    void: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    under_way: list[str] = field(default_factory=list)

    def by_kind(self) -> dict[str, dict[str, int]]:
        kinds = sorted({*self.landed, *self.void})
        return {kind: {"landed": self.landed.get(kind, 0), "void": self.void.get(kind, 0)} for kind in kinds}


class Soak:
    """One soak in one arena. What faults need of it is `chaos.soak_faults.Field`."""

    def __init__(self, arena: Arena, run: Run, minutes: float, rate: float, say: Callable[[str], None]) -> None:
        self.run = run
        self.scripts: list[list[Step]] = []
        self.unbound: list[tuple[float, float]] = []
        self.tallies = Tallies()
        self._arena = arena
        self._seconds = minutes * 60
        self._rate = rate
        self._say = say
        self._began = time.monotonic()
        self._plans = plans(run.seed)
        self._people: asyncio.Queue[Person | None] = asyncio.Queue(CLIENTS)
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def arena(self) -> Arena:
        return self._arena

    async def look(self, ask: Callable[[], Awaitable[int]]) -> int:
        """Ask until there is an answer: another fault may have hit what is asked."""

        async def patiently() -> tuple[int]:
            try:
                return (await ask(),)
            except _AWAY as error:
                raise AssertionError(f"{type(error).__name__}: {error}") from error

        (found,) = await eventually(patiently, within=_LOOK_WITHIN, what="there is an answer")
        return found

    async def judged(self) -> Outcome:
        """Break things for as long as asked, heal, drain, judge."""
        async with asyncio.TaskGroup() as group:
            progress = group.create_task(self._tell(), name="progress")
            try:
                async with asyncio.TaskGroup() as work:
                    for number in range(CLIENTS):
                        work.create_task(self._client(), name=f"client-{number}")
                    for number in range(LANES):
                        work.create_task(self._lane(), name=f"lane-{number}")
                    work.create_task(self._arrivals(), name="arrivals")
                self._say("  everything is healed; what was accepted drains")
                return await self._end()
            finally:
                progress.cancel()

    @property
    def _left(self) -> float:
        return self._seconds - (time.monotonic() - self._began)

    async def _arrivals(self) -> None:
        """Prospects at the pace asked for; when every client waits, they wait too."""
        while self._left > 0:
            await self._people.put(self._person())
            await asyncio.sleep(1 / self._rate)
        for _ in range(CLIENTS):
            await self._people.put(None)

    def _person(self) -> Person:
        person = self.run.scenario.crowd.person()
        if self.scripts:
            self.arena.smtp.script(person.email, *self.scripts.pop(0))
        return person

    async def _client(self) -> None:
        resume, log = small_pdf(), self.run.scenario.log
        async with http_client(self.run.stack) as client:
            while person := await self._people.get():
                response = await submit(client, log, person, resume, within=_SUBMIT_WITHIN)
                self.run.check(response.status_code == 201, f"a lead was answered {response.status_code} in the end")

    async def _lane(self) -> None:
        """One fault after the other, with a breath between."""
        breath = random.Random(self.run.seed)
        while self._left > 0:
            await self._one(next(self._plans))
            await asyncio.sleep(breath.uniform(0.5, 2.5))

    async def _one(self, fault: Fault) -> None:
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
        except _AWAY as error:  # another fault was in the way of this one
            self._say(f"  void: {words}: {type(error).__name__}")
            has_landed = False
        except Exception as error:  # not foreseen: it fails the soak, and the rest is still worth its time
            self.run.failures.append(f"{words}: {described(BaseExceptionGroup('', [error]))}")
            has_landed = False
        finally:
            self.tallies.under_way.remove(words)
            for lock in locks:
                lock.release()
        (self.tallies.landed if has_landed else self.tallies.void)[fault.kind] += 1

    async def _all_run(self, touches: frozenset[str]) -> None:
        """Wait until what died before is started again."""

        async def dead() -> list[str]:
            return [one.name for one in self.arena.members if one.kind in touches and one.pid is None]

        await eventually(dead, lambda names: not names, within=60, what="everything is started again")

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
        self.run.healed()
        self.arena.heal()
        await self.arena.all_up()
        self.run.figures["repaired"] = await self._age_what_was_missed()
        log = self.run.scenario.log
        others = set(log.statuses()) - ANSWERS
        self.run.check(not others, f"answers {log.statuses()}")
        self.run.check(sum(self.tallies.landed.values()), "no fault landed")
        latencies = log.latencies()
        self.run.figures["p99_post_s"] = round(latencies[int(len(latencies) * 0.99)], 2) if latencies else None
        return await self.run.judge(DRAIN_WITHIN)

    async def _age_what_was_missed(self) -> int:
        """What one of two hearers never got is repaired after 15 minutes of silence: make those leads that old."""
        if not self.unbound:
            return 0
        with suppress(AssertionError):  # what does not drain is the checker's to tell
            await eventually(
                lambda: evidence.undrained(self.run.stack), lambda left: not left, within=DRAIN_WITHIN / 2, every=0.5
            )
        missed = await self._missed()
        async with evidence.database(self.run.stack, "intake") as intake:
            await intake.execute(_AGE, missed)
        with suppress(AssertionError):  # what is not repaired is the checker's to tell
            await eventually(self._missed, lambda left: not left, within=DRAIN_WITHIN / 2, every=0.5)
        return len(missed)

    async def _missed(self) -> list[Any]:
        """Leads decided while a binding was away of which the mailer, or intake, knows nothing."""
        missed: set[Any] = set()
        for began, ended in self.unbound:
            rows = await self.run.fetch("assignment", _DECIDED, began - _BEFORE_UNBOUND_S, ended)
            decided = [row["lead_id"] for row in rows]
            rows = await self.run.fetch("mailer", "SELECT lead_id FROM deliveries WHERE lead_id = ANY($1)", decided)
            missed |= set(decided) - {row["lead_id"] for row in rows}
            rows = await self.run.fetch("intake", _OWNERLESS, decided)
            missed |= {row["id"] for row in rows}
        return list(missed)


_DECIDED = """
    SELECT lead_id FROM assignments WHERE assigned_at BETWEEN to_timestamp($1::float8) AND to_timestamp($2::float8)
"""
_OWNERLESS = "SELECT id FROM leads WHERE id = ANY($1) AND assigned_to IS NULL"
_AGE = """
    UPDATE leads
    SET updated_at = updated_at - interval '1 hour', outreach_next_at = outreach_next_at - interval '1 hour'
    WHERE id = ANY($1)
"""


async def versions(arena: Arena) -> dict[str, str]:
    """What it ran on."""
    overview = await broker.management(arena.stack, "/api/overview")
    postgres: str = await evidence.fetch_value(arena.stack, "intake", "SHOW server_version")
    return {
        "RabbitMQ": overview["rabbitmq_version"],
        "Erlang": overview["erlang_version"],
        "PostgreSQL": postgres.split(maxsplit=1)[0],
        "Python": python_version(),
        **{name: version(name) for name in ("aio-pika", "faststream", "asyncpg", "aiosmtplib")},
    }


async def soak(seed: int, minutes: float, rate: float, commit: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Run one soak in an arena of its own; give the result."""
    async with Arena.running(say) as arena:
        run = await Run.begin(arena, seed, say)
        one = Soak(arena, run, minutes, rate, say)
        ran_on = await versions(arena)
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
        "faults": one.tallies.by_kind(),
        "versions": ran_on,
        "failures": outcome.failures,
        "checker": outcome.table,
    }


_ROWS = {
    "accepted": "accepted (201)",
    "unknown": "unanswered attempts, repeated with their key",
    "lost": "lost",
    "doubled": "doubled",
    "stuck": "stuck",
    "twice": "mailed twice, unexplained",
    "twice_ambiguous": "mailed twice, flagged ambiguous",
    "ambiguous": "attempts flagged ambiguous",
    "repaired": "leads repaired after a lost binding",
    "extra_deliveries": "deliveries beyond one per effect",
    "drained_s": "seconds from heal to drained",
    "p99_post_s": "p99 of POST, seconds",
}


def table(result: dict[str, Any]) -> str:
    """The result as one Markdown table."""
    faults = result["faults"].items()
    landed, void = (sum(count[how] for _, count in faults) for how in ("landed", "void"))
    rows = [
        ("result", result["result"]),
        ("length", f"{result['minutes']:g} min at {result['leads_per_s']:g} leads/s"),
        *((words, result["figures"].get(name)) for name, words in _ROWS.items()),
        ("faults landed / void", f"{landed} / {void}"),
        *((f"- {kind}", f"{count['landed']} / {count['void']}") for kind, count in faults),
        ("seed, commit, date", f"{result['seed']}, {result['commit']}, {result['at']}"),
        ("versions", ", ".join(f"{name} {number}" for name, number in result["versions"].items())),
    ]
    return "\n".join(["| soak | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def write(result: dict[str, Any], folder: Path) -> Path:
    """Keep a result; give the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"soak-{result['at'].replace(':', '')[:17]}-{result['seed']}.json"
    path.write_text(json.dumps(result, indent=2, default=str) + "\n", encoding="utf-8")
    return path
