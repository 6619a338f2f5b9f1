"""One run of one scenario: its seed, its load, its checks, and the checker's verdict at the end."""

import asyncio
import random
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
from e2e import evidence
from e2e.checker import Scenario, figures_of, judge
from e2e.clients import Person, http_client, log_in, submit_all
from e2e.eventually import PATIENCE, eventually
from e2e.rows import Evidence
from e2e.stack import Stack

from chaos.arena import Arena
from chaos.fault_proxy import Trap
from chaos.ledger import first_seed

One = TypeVar("One")

WINDOW_LEADS, WINDOW_CLIENTS = 20, 4
LEADS, CLIENTS = 60, 12
"""What two cores take in some ten seconds; `--leads 200` for more."""
SETTLE_WITHIN = 60.0


class VoidRunError(Exception):
    """The fault did not land: the run says nothing."""


@dataclass
class Outcome:
    """What a run has shown. ``failures`` is empty when it passed."""

    failures: list[str]
    figures: dict[str, Any]
    table: str


def described(group: BaseExceptionGroup[BaseException]) -> str:
    """The first error of a group, with its place."""
    error = first(group)
    where = traceback.extract_tb(error.__traceback__)[-1]
    words = str(error).splitlines()[0] if str(error) else ""
    return f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}: {words}"


def first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group of groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@dataclass
class Run:
    """What a scenario has in hand."""

    arena: Arena
    seed: int
    chance: random.Random
    scenario: Scenario
    leads: int = LEADS
    clients: int = CLIENTS
    failures: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    poisoned: set[str] = field(default_factory=set)
    """Ids of messages that must be dead letters in the end, and no other."""
    expected: dict[str, int] = field(default_factory=dict)
    """Findings that the scenario has brought about itself: how many of each identity there must be."""
    final: tuple[str, ...] = ("reached_out",)
    retry_after: bool = True
    """Whether every 503 has said when to come again."""
    _healed_at: float | None = None
    _delivered: int = 0
    _published: int = 0
    _unspoken: int = 0

    @classmethod
    async def begin(
        cls, arena: Arena, seed: int, say: Callable[[str], None], *, leads: int = LEADS, is_window: bool = False
    ) -> "Run":
        """Start with everything up, healed and quiet, and an empty mail server."""
        arena.heal()
        await arena.all_up()
        async with evidence.database(arena.stack, "intake") as intake:  # what another run poisoned is not replayed here
            await intake.execute("UPDATE dead_letters SET status = 'discarded' WHERE status = 'open'")
        scenario = await Scenario.begin(arena.stack, say)
        arena.smtp.clear()
        arena.deaths.clear()
        return cls(
            arena,
            seed,
            random.Random(seed),
            scenario,
            leads=WINDOW_LEADS if is_window else leads,
            clients=WINDOW_CLIENTS if is_window else CLIENTS,
            _delivered=arena.delivered.count,
            _published=arena.published.count,
            _unspoken=arena.unspoken.count,
        )

    @property
    def stack(self) -> Stack:
        return self.arena.stack

    def variant(self, ways: Sequence[One]) -> One:
        """One of some ways to run this scenario: by turns, so that successive seeds try every one."""
        return ways[first_seed(self.seed) % len(ways)]

    def check(self, holds: object, words: str) -> None:
        """Something that this scenario promises besides the checker's identities."""
        if not holds:
            self.failures.append(words)

    async def load(self, leads: int | None = None) -> None:
        """Post leads, patiently; each ends in 201."""
        await self.submit(self.scenario.crowd.people(self.leads if leads is None else leads))

    async def submit(self, people: list[Person]) -> None:
        """Post the leads of these people, patiently; each ends in 201."""
        await submit_all(self.stack, self.scenario.log, people, clients=self.clients)

    @asynccontextmanager
    async def under_load(self, leads: int | None = None) -> AsyncIterator["asyncio.Task[None]"]:
        """Do the body while leads are posted; ends when all have their 201."""
        task = asyncio.create_task(self.load(leads), name="load")
        try:
            yield task
            await task
        finally:
            task.cancel()
            with suppress(BaseException):
                await task

    async def sprung(self, trap: Trap, within: float = 20.0) -> None:
        """Wait for a trap; a run in which it does not spring is void."""
        try:
            async with asyncio.timeout(within * PATIENCE):
                await trap.hit.wait()
        except TimeoutError:
            self.arena.heal()
            raise VoidRunError(f"{trap.side} {trap.pattern!r} was not seen for {within * PATIENCE:g} s") from None

    async def accepted(self, count: int) -> None:
        """Wait until so many leads are accepted."""

        async def seen() -> int:
            return len(self.scenario.log.accepted())

        await eventually(seen, lambda found: found >= count, within=60, every=0.01, what=f"{count} accepted")

    async def mails(self, count: int) -> None:
        """Wait until so many mails have arrived."""

        async def seen() -> int:
            return len(self.arena.smtp.mails)

        await eventually(seen, lambda found: found >= count, within=60, every=0.02, what=f"{count} mails")

    async def reached(self, within: float = 60.0) -> None:
        """Wait until every lead of this run is reached."""

        async def left() -> int:
            count: int = await self.fetch_value("intake", _NOT_REACHED, self.scenario.since)
            return count

        await eventually(left, lambda count: not count, within=within, what="every lead is reached")

    def healed(self) -> None:
        """From now on nothing is broken: the time to drain runs."""
        self._healed_at = time.monotonic()

    async def fetch(self, database: str, query: str, *values: Any) -> list[Any]:
        """Rows of one query, past the proxies."""
        return await evidence.fetch(self.stack, database, query, *values)

    async def fetch_value(self, database: str, query: str, *values: Any) -> Any:
        """The first value of one query, past the proxies."""
        return await evidence.fetch_value(self.stack, database, query, *values)

    @asynccontextmanager
    async def staff(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client with the admin's login."""
        async with http_client(self.stack) as client:
            client.headers["Authorization"] = f"Bearer {await log_in(client, self.stack)}"
            yield client

    async def judge(self, within: float = SETTLE_WITHIN) -> Outcome:
        """Wait for quiet, ``within`` seconds, gather, judge."""
        began = self._healed_at or time.monotonic()
        self.arena.heal()
        await self.arena.infrastructure_up()
        scenario = self.scenario
        await scenario.settle(self.final, within)
        drained = time.monotonic() - began
        await self.arena.all_up()
        addresses = {attempt.address for attempt in scenario.log.attempts}
        seen = await evidence.gather(self.stack, scenario.since, addresses, scenario.crowd)
        self._expect_dead_letters(seen)
        strangers = {mail.address.lower() for mail in self.arena.smtp.mails} - {one.lower() for one in addresses}
        self.check(not strangers, f"mail went to {len(strangers)} addresses that nobody has typed")
        measured = {
            **figures_of(scenario.log, began),
            **await self._traffic(),
            "drained_s": round(drained, 1),
            **self.figures,
        }
        report = judge(scenario.log, seen, final=self.final, measured=measured)
        self.failures += self.arena.deaths
        told = self.arena.unspoken.count - self._unspoken
        self.check(told == 0, f"{told} times a message, phone number or resume was given to the broker")
        found = {name.strip(): report.of(name).against for name in report.failed}
        for name, count in self.expected.items():
            self.check(len(found.pop(name, ())) == count, f"the checker does not see {count} of {name}")
        self.failures += [f"{name}: {against[0]}" for name, against in found.items()]
        self.figures = {**report.figures, "unknown": scenario.log.statuses().get("unknown", 0)}
        return Outcome(self.failures, self.figures, report.table())

    def _expect_dead_letters(self, seen: Evidence) -> None:
        found = {words for words in seen.dead_letters if any(one in words for one in self.poisoned)}
        self.check(len(found) == len(self.poisoned), f"{len(found)} of {len(self.poisoned)} poisons are dead letters")
        seen.dead_letters = [words for words in seen.dead_letters if words not in found]

    async def _traffic(self) -> dict[str, int]:
        """Deliveries beyond one for each effect, and publishes seen by the proxies."""
        effects = 0
        for database in evidence.DATABASES:
            effects += await self.fetch_value(
                database, "SELECT count(*) FROM inbox WHERE received_at >= $1", self.scenario.since
            )
        return {
            "published": self.arena.published.count - self._published,
            "extra_deliveries": self.arena.delivered.count - self._delivered - effects,
        }


_NOT_REACHED = "SELECT count(*) FROM leads WHERE created_at >= $1 AND status <> 'reached_out'"


Body = Callable[[Run], Awaitable[None]]


@dataclass(frozen=True)
class Named:
    """A scenario as the command line knows it."""

    name: str
    body: Body
    title: str
    is_window: bool = False
    clustered: bool = False
    """Runs on three broker nodes."""


SCENARIOS: dict[str, Named] = {}


def scenario(name: str, *, window: bool = False, clustered: bool = False) -> Callable[[Body], Body]:
    """Register a scenario under its name; the title is the first line of its docstring."""

    def register(body: Body) -> Body:
        title = (body.__doc__ or "").strip().splitlines()[0]
        SCENARIOS[name] = Named(name, body, title, window, clustered)
        return body

    return register


def chosen(names: Iterable[str]) -> list[Named]:
    """The scenarios of some names. Raises KeyError naming an unknown one."""
    return [SCENARIOS[name] for name in names]
