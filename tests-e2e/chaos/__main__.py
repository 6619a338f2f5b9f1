"""The command line: `python -m chaos run|list|report|soak`; see `make chaos` and `make soak`."""

import argparse
import asyncio
import json
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from e2e.eventually import PATIENCE

from chaos import scenarios
from chaos.arena import Arena
from chaos.ledger import Entry, Ledger, Result, commit_of, first_seed, seeds_passed, sub_seed, table
from chaos.run import LEADS, SCENARIOS, Named, Outcome, Run, VoidRunError, described, first
from chaos.soak import report
from chaos.soak.driver import soak
from chaos.soak.report import BEGIN, END
from deploy.local.errors import StackError
from deploy.local.layout import ROOT

LEDGER = ROOT / ".local" / "chaos" / "ledger.jsonl"
WINDOW_SEEDS = 20
OTHER_SEEDS = 3
"""What a report asks for: `make chaos` runs the windows so often, and each of the rest once, or RUNS times."""
VOID_LIMIT = 5
SHORT = (
    *("F02", "F09", "F14", "F15", "F25", "F30", "F31"),
    *("F13a", "F13b", "F17", "F20", "F23", "F27", "F33", "F40", "F46"),
)
_RUN_WITHIN = 300.0
MOST_LEADS_PER_S = 16.0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run scenarios; what the ledger has as passed for this commit is skipped")
    run.add_argument("--scenario", default="", help="names with commas or spaces (default: all); see `list`")
    run.add_argument("--seed", type=int, help="seed of the first run, below 1000000 (default: 1)")
    run.add_argument("--runs", type=int, help="runs of each, with seed, seed + 1, ... (default: windows 20, others 1)")
    run.add_argument("--leads", type=int, default=LEADS, help=f"load of all but the windows (default: {LEADS})")
    run.add_argument("--short", action="store_true", help="one run of each scenario of the short list")
    run.add_argument("--cluster", action="store_true", help="the scenarios with three broker nodes instead")
    run.add_argument("--random", action="store_true", help="a random first seed (printed)")
    run.add_argument("--again", action="store_true", help="run also what has passed before")
    run.add_argument("--minutes", type=float, help="begin no run after so many minutes")
    run.add_argument("--verbose", action="store_true", help="show the checker's table of every run")
    listed = commands.add_parser("list", help="show the scenarios")
    told = commands.add_parser("report", help="the ledger as a table, and which seeds are lacking")
    told.add_argument("--all", action="store_true", help="of every commit, not only of this one")
    long = commands.add_parser("soak", help="every fault at random, two at a time, under a steady load; one table")
    long.add_argument("--minutes", type=float, default=30.0, help="length of load and faults (default: 30)")
    rate = min(2.0 * (os.cpu_count() or 1), MOST_LEADS_PER_S)
    long.add_argument("--rate", type=float, default=rate, help=f"leads a second (default: 2 a core; here {rate:g})")
    long.add_argument("--seed", type=int, help="seed of the faults and their order (default: random, printed)")
    long.add_argument(
        "--into", type=Path, help=f"when it passed, put the table into this page, between {BEGIN} and {END}"
    )
    for one in (run, listed, told, long):
        one.add_argument("--json", action="store_true", help="for programs")
        one.add_argument("--ledger", type=Path, default=LEDGER, help=argparse.SUPPRESS)
    return parser


def _chosen(options: argparse.Namespace) -> list[Named]:
    usual = [named.name for named in SCENARIOS.values() if named.clustered == options.cluster]
    names = options.scenario.replace(",", " ").split() or (SHORT if options.short else usual)
    chosen: list[Named] = []
    for name in names:
        found = [SCENARIOS[one] for one in SCENARIOS if one == name or one.rstrip("abc") == name]
        if not found and not (options.short and not options.scenario):
            raise StackError(f"no scenario {name!r}: choose among {' '.join(SCENARIOS)}")
        chosen += [one for one in found if one not in chosen]
    return chosen


class Session:
    """Runs scenarios one after the other in one arena, and writes each into the ledger."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._ledger = Ledger(options.ledger)
        self._commit = commit_of(ROOT)
        self.entries: list[Entry] = []

    def say(self, words: str) -> None:
        """Tell a person; programs get the end only."""
        print(words, file=sys.stderr if self._options.json else sys.stdout, flush=True)

    async def run(self) -> int:
        """Run what is to be run; give the exit code."""
        options = self._options
        seed = random.SystemRandom().randrange(1, 10**6) if options.random else options.seed or 1
        known = {(name, first_seed(one)) for name, one in self._ledger.passed(self._commit)}
        wanted = []
        for named in _chosen(options):
            runs = options.runs or (WINDOW_SEEDS if named.is_window and not options.short else 1)
            wanted += [(named, seed + number) for number in range(runs)]
        todo = [pair for pair in wanted if options.again or options.seed or (pair[0].name, pair[1]) not in known]
        self.say(f"commit {self._commit}, first seed {seed}: {len(todo)} of {len(wanted)} runs are to be done")
        ends = time.monotonic() + options.minutes * 60 if options.minutes else float("inf")
        for clustered in (False, True):
            alike = [pair for pair in todo if pair[0].clustered == clustered]
            if alike:
                await self._in_one_arena(alike, ends, clustered=clustered)
        self.say(table(self.entries))
        return 1 if any(entry.result == "failed" for entry in self._last_results()) else 0

    async def _in_one_arena(self, todo: list[tuple[Named, int]], ends: float, *, clustered: bool) -> None:
        async with Arena.running(self.say, clustered=clustered) as arena:
            for named, one in todo:
                if time.monotonic() > ends:
                    self.say("time is over; the rest waits for the next run")
                    break
                await self._until_it_lands(arena, named, one)

    def _last_results(self) -> list[Entry]:
        """The last entry of each run: void ones that landed at a later sub-seed do not count; the rest do."""
        last = {(entry.scenario, first_seed(entry.seed)): entry for entry in self.entries}
        return [
            Entry(**{**entry.__dict__, "result": "failed"}) if entry.result == "void" else entry
            for entry in last.values()
        ]

    async def _until_it_lands(self, arena: Arena, named: Named, seed: int) -> None:
        for number in range(VOID_LIMIT):
            entry = await self._once(arena, named, sub_seed(seed, number))
            self.entries.append(entry)
            self._ledger.append(entry)
            if entry.result != "void":
                return
        self.say(f"{named.name} seed {seed}: void {VOID_LIMIT} times, which is a failure")

    async def _once(self, arena: Arena, named: Named, seed: int) -> Entry:
        began, outcome, reason = time.monotonic(), Outcome([], {}, ""), ""
        lines: list[str] = []
        try:
            async with asyncio.timeout(_RUN_WITHIN * PATIENCE):
                run = await Run.begin(arena, seed, lines.append, leads=self._options.leads, is_window=named.is_window)
                outcome = Outcome(run.failures, {}, "")  # what is known when the time is over before the judgement
                try:
                    await named.body(run)
                except* VoidRunError as group:
                    reason = str(first(group))
                except* Exception as group:
                    run.failures.append(described(group))
                if not reason:
                    outcome = await run.judge()
        except* Exception as group:
            outcome.failures.append(described(group))
        finally:
            arena.heal()
        result: Result = "failed" if outcome.failures else "void" if reason else "passed"
        seconds = time.monotonic() - began
        shown = {name: value for name, value in outcome.figures.items() if value not in (0, None)}
        self.say(f"{named.name:5} seed {seed:<8} {result:7} {seconds:5.1f} s  {reason or shown}")
        for words in [*lines, *outcome.failures]:
            self.say(f"      {words}")
        if outcome.table and (outcome.failures or self._options.verbose):
            self.say(outcome.table)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        return Entry(
            named.name, seed, self._commit, result, round(seconds, 1), at, outcome.figures, tuple(outcome.failures)
        )


async def _until_signalled(work: Coroutine[Any, Any, int]) -> int:
    """SIGTERM ends a session as Ctrl-C does: with everything taken down."""
    task = asyncio.create_task(work, name="session")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        return await task
    return 130


def _report(options: argparse.Namespace) -> int:
    commit = commit_of(ROOT)
    entries = [one for one in Ledger(options.ledger).entries() if options.all or one.commit == commit]
    seeds = seeds_passed(entries)
    lacking = {
        named.name: f"{seeds.get(named.name, 0)} of {wanted}"
        for named in SCENARIOS.values()
        if seeds.get(named.name, 0) < (wanted := WINDOW_SEEDS if named.is_window else OTHER_SEEDS)
    }
    if options.json:
        found = {"commit": commit, "lacking": lacking, "runs": [one.__dict__ for one in entries]}
        print(json.dumps(found, default=str))  # noqa: T201 - its product
    else:
        print(table(entries) if entries else f"the ledger has no run of commit {commit}")  # noqa: T201 - its product
        for name, words in lacking.items():
            print(f"{name}: {words} seeds passed")  # noqa: T201 - its product
    return 1 if lacking or any(one.result == "failed" for one in entries) else 0


async def _soak(options: argparse.Namespace) -> int:
    if options.minutes <= 0 or options.rate <= 0:
        raise StackError("--minutes and --rate must be above 0")
    if options.into:
        report.put_into(options.into, None)
    seed = random.SystemRandom().randrange(1, 10**6) if options.seed is None else options.seed

    say = partial(print, file=sys.stderr if options.json else sys.stdout, flush=True)

    say(f"soak of {options.minutes:g} minutes at {options.rate:g} leads/s, seed {seed}")
    result = await soak(seed, options.minutes, options.rate, commit_of(ROOT), say)
    path = report.write(result, options.ledger.parent)
    if result["failures"]:
        say("\n".join([result["checker"], *result["failures"]]))
    print(json.dumps(result, default=str) if options.json else report.table(result))  # noqa: T201 - its product
    say(f"written to {path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}; the table alone to soak.md there")
    if result["failures"]:
        return 1
    if options.into:
        report.put_into(options.into, report.table(result))
    return 0


def main() -> int:
    """Carry out one command; give its exit code: 0 when everything passed."""
    options = _parser().parse_args()
    for library in ("aio_pika", "aiormq"):  # what links say when they break on purpose
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)
    try:
        if options.command == "report":
            return _report(options)
        if options.command == "list":
            rows = {named.name: named.title for named in SCENARIOS.values()}
            print(json.dumps(rows) if options.json else "\n".join(f"{name:5} {words}" for name, words in rows.items()))  # noqa: T201 - its product
            return 0
        if options.command == "soak":
            return asyncio.run(_until_signalled(_soak(options)))
        session = Session(options)
        code = asyncio.run(_until_signalled(session.run()))
        if options.json:
            print(json.dumps([one.__dict__ for one in session.entries], default=str))  # noqa: T201 - its product
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - one line for a person
        return 1
    return code


assert scenarios.__all__  # importing them has registered them

if __name__ == "__main__":
    sys.exit(main())
