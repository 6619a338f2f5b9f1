"""Runs the named tests over a scratch copy of the tree: unbroken, where they must be green, then broken, one by one."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as ET

from mutation.breakages import Breakage

PACKAGE_FOLDERS = ("shared-schemas", "service-chassis", "intake-api", "assignment-worker", "mailer-worker")
RUN_WITHIN_S = 180.0

Verdict = Literal["killed", "survived", "red before", "red for another reason", "does not apply"]
Color = Literal["green", "red", "no result"]


@dataclass(frozen=True)
class Seen:
    """What a run said of one test: its color, the words of its failure, and the seconds it took."""

    color: Color
    words: str
    seconds: float


@dataclass(frozen=True)
class Row:
    """A breakage and what became of it. ``seconds``: applying it and running its test."""

    breakage: Breakage
    unbroken: Color
    broken: Color | None
    verdict: Verdict
    words: str
    seconds: float


def matrix(tree: Path, scratch: Path, breakages: Sequence[Breakage]) -> Iterator[Row]:
    """Judge every breakage of ``tree``; ``scratch`` is a folder that is made and taken away."""
    with _copied(tree, scratch):
        unbroken = run_tests(scratch, [one.test for one in breakages])
    for breakage in breakages:
        began = time.monotonic()
        before = unbroken[breakage.test]
        if before.color != "green":
            yield Row(breakage, before.color, None, "red before", before.words, before.seconds)
            continue
        with _copied(tree, scratch):
            if problem := _apply(breakage, scratch):
                yield Row(breakage, "green", None, "does not apply", problem, time.monotonic() - began)
                continue
            seen = run_tests(scratch, [breakage.test])[breakage.test]
        yield Row(breakage, "green", seen.color, _verdict(breakage, seen), seen.words, time.monotonic() - began)


def _verdict(breakage: Breakage, seen: Seen) -> Verdict:
    if seen.color == "green":
        return "survived"
    if seen.color == "red" and re.search(breakage.words, seen.words):
        return "killed"
    return "red for another reason"


@contextmanager
def _copied(tree: Path, scratch: Path) -> Iterator[None]:
    """Copy what git knows or would add, as it lies there; programs and environment stay shared."""
    shutil.rmtree(scratch, ignore_errors=True)
    listed = _git(tree, "ls-files", "-z", "--cached", "--others", "--exclude-standard").stdout
    try:
        for name in filter(None, listed.split("\0")):
            if (tree / name).is_file():
                (scratch / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(tree / name, scratch / name)
        (scratch / ".local").symlink_to(tree / ".local")
        yield
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _apply(breakage: Breakage, scratch: Path) -> str:
    """Apply it; say what is wrong if it does not fit, else nothing."""
    # A ceiling: else git takes the copy for an ignored part of the tree around it, and applies nothing.
    done = _git(scratch, "apply", str(breakage.patch), GIT_CEILING_DIRECTORIES=str(scratch.parent))
    return done.stderr.strip() if done.returncode else ""


def _git(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *words],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def run_tests(scratch: Path, tests: Sequence[str]) -> dict[str, Seen]:
    """Run the tests over the copy: its packages go before the installed ones. A test without result is no pass."""
    report = scratch / "report.xml"
    path = os.pathsep.join(str(scratch / folder) for folder in PACKAGE_FOLDERS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *tests]
    try:
        done = subprocess.run(
            command,
            cwd=scratch,
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=RUN_WITHIN_S,
        )
        output = done.stdout
    except subprocess.TimeoutExpired:
        output = f"no end after {RUN_WITHIN_S:g} s"
    cases = list(ET.parse(report).iter("testcase")) if report.exists() else []  # noqa: S314 - pytest wrote it just now
    return {test: _seen(test, cases, output) for test in tests}


def _seen(test: str, cases: Iterable[ET.Element], output: str) -> Seen:
    for case in cases:
        if case.get("name") == test.rpartition("::")[2]:
            seconds = float(case.get("time", 0))
            failures = [found for kind in ("failure", "error") for found in case.findall(kind)]
            if not failures:
                return Seen("green", "", seconds) if case.find("skipped") is None else Seen("no result", "", seconds)
            text = "\n".join(f"{found.get('message', '')}\n{found.text or ''}" for found in failures)
            return Seen("red" if case.find("failure") is not None else "no result", text, seconds)
    return Seen("no result", output[-2000:], 0.0)
