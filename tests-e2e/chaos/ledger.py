"""The ledger: one line for each run, appended when it ends, so that an interrupted session goes on where it was."""

import hashlib
import json
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Result = Literal["passed", "failed", "void"]
SUMMED = ("accepted", "unknown", "lost", "doubled", "twice", "twice_ambiguous", "stuck", "5xx", "extra_deliveries")


@dataclass(frozen=True)
class Entry:
    """One run. ``seed`` is the one it ran with; a void run's next sub-seed has an entry of its own."""

    scenario: str
    seed: int
    commit: str
    result: Result
    seconds: float
    at: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    failures: tuple[str, ...] = ()


class Ledger:
    """Lines of JSON in one file. A line that a killed session left half written is passed over."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, entry: Entry) -> None:
        """Add a run."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        torn = self.path.exists() and not self.path.read_bytes().endswith(b"\n") and self.path.stat().st_size > 0
        with self.path.open("a", encoding="utf-8") as lines:
            lines.write(("\n" if torn else "") + json.dumps(asdict(entry), default=str) + "\n")

    def entries(self) -> list[Entry]:
        """All runs, oldest first."""
        found = []
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    row = json.loads(line)
                    found.append(Entry(**{**row, "failures": tuple(row.get("failures", ()))}))
                except (ValueError, TypeError):
                    continue
        return found

    def passed(self, commit: str) -> set[tuple[str, int]]:
        """(scenario, seed) of what has passed at a commit: no need to run it again."""
        return {(one.scenario, one.seed) for one in self.entries() if one.commit == commit and one.result == "passed"}


def sub_seed(seed: int, number: int) -> int:
    """The seed of the ``number``-th repetition of a void run; the first attempt has the seed itself."""
    return seed + number * 1_000_000


def first_seed(seed: int) -> int:
    """The seed that a sub-seed stands for."""
    return seed % 1_000_000


def seeds_passed(entries: Iterable[Entry]) -> dict[str, int]:
    """How many different seeds of each scenario have passed."""
    seeds = {(one.scenario, first_seed(one.seed)) for one in entries if one.result == "passed"}
    return Counter(scenario for scenario, _ in seeds)


def table(entries: Iterable[Entry]) -> str:
    """A line for each scenario, over all its runs."""
    runs: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        runs[entry.scenario].append(entry)
    heads = ("scenario", "passed", "failed", "void", *SUMMED, "p99 s", "drained s", "run s")
    lines = ["  ".join(heads)]
    for name in sorted(runs):
        counted = [one for one in runs[name] if one.result != "void"]
        cells: list[object] = [name, *(sum(one.result == result for one in runs[name]) for result in _RESULTS)]
        cells += [sum(int(one.figures.get(figure, 0)) for one in counted) for figure in SUMMED]
        cells += [_largest(one.figures.get(figure) or 0 for one in counted) for figure in ("p99_post_s", "drained_s")]
        cells += [_largest(one.seconds for one in counted)]
        lines.append("  ".join(f"{cell!s:>{len(head)}}" for head, cell in zip(heads, cells, strict=True)))
    return "\n".join(lines)


_RESULTS: tuple[Result, ...] = ("passed", "failed", "void")


def _largest(values: Iterable[Any]) -> str:
    return f"{max((float(value) for value in values), default=0.0):.1f}"


def commit_of(folder: Path) -> str:
    """The commit that last changed the product or this suite, with a mark of what is changed and not committed."""

    def git(*words: str) -> str:
        asked = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)
        return asked.stdout.strip()

    commit = git("log", "-1", "--format=%h", "--", *_CONCERNED) or "unknown"
    changed = git("diff", "HEAD", "--", *_CONCERNED)
    return f"{commit}+{hashlib.sha256(changed.encode()).hexdigest()[:6]}" if changed else commit


_CONCERNED = (
    *("shared-schemas", "service-chassis", "intake-api", "assignment-worker", "mailer-worker", "deploy"),
    *("tests-e2e/chaos", "tests-e2e/e2e"),
)
