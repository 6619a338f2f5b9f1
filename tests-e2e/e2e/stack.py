"""A running product as the tests know it: the addresses in its run.json, and the supervisor's command line.

Nothing here knows how the product works inside. A stack of our own is started by `python -m deploy.local up` in a
folder and on ports of its own; a folder left by a session that was killed is cleared away by the next one.
"""

import asyncio
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy.local.embedded_services import session_folder

ROOT = Path(__file__).resolve().parents[2]
HOMES = session_folder("e2e")

SCALE = {"API_PROCESSES": "1", "INTAKE_WORKERS": "1", "ASSIGNMENT_WORKERS": "4", "MAILER_WORKERS": "2"}

QUICK = {
    "MAILER_SMTP_DEADLINE": "3",
    "MAILER_SMTP_LEASE": "5",
    "MAILER_RETRY_FIRST": "1",
    "MAILER_CIRCUIT_PROBE_INTERVAL": "1",
    "INTAKE_REQUEST_DEADLINE": "10",
    "INTAKE_IDEMPOTENCY_LEASE": "11",
    "INTAKE_ORPHAN_GRACE": "20",
    "INTAKE_SWEEP_INTERVAL": "2",
}
"""Leases and retries of a few seconds, so that what waits in production is over within a test."""

KINDS = ("intake-api", "intake-worker", "assignment-worker", "mailer-worker")
_SPAN = 100
_START_WITHIN = 180.0
_SLACK = 5.0


class StackFailedError(Exception):
    """A stack did not come up; the message holds what it said."""


@dataclass(frozen=True)
class Stack:
    """One running product. ``home`` is its folder, None when it is not ours to stop and start.

    ``swept_within``: seconds after which the sweeper has removed an orphan object, None when that is not known.
    """

    run_file: Path
    home: Path | None
    swept_within: float | None = None

    @property
    def run(self) -> dict[str, Any]:
        """The addresses and live pids, read anew each time."""
        content: dict[str, Any] = json.loads(self.run_file.read_text(encoding="utf-8"))
        return content

    @property
    def api_url(self) -> str:
        url: str = self.run["api_url"]
        return url

    def pids(self, kind: str) -> list[int]:
        """Live pids of one kind of process."""
        return [int(pid) for pid in self.run["processes"][kind]]

    @property
    def log_folder(self) -> Path:
        """Where every process of the stack logs: `log` beside the addresses file."""
        folder = self.run_file.resolve().parent / "log"
        if not folder.is_dir():
            pytest.fail(f"this stack's logs are not on this machine: {folder} is no folder")
        return folder

    async def control(self, command: str, service: str) -> None:
        """`stop` or `start` one service through the supervisor."""
        if self.home is None:
            pytest.fail("this stack cannot be stopped and started from here: E2E_RUN_JSON names no home")
        arguments = ["-m", "deploy.local", command, service, "--home", str(self.home)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, f"{command} {service}: {output.decode(errors='replace')}"


def swept_within(settings: Mapping[str, str]) -> float:
    """Seconds in which an orphan object is swept by a stack with these settings, and a few more."""
    return float(settings["INTAKE_ORPHAN_GRACE"]) + float(settings["INTAKE_SWEEP_INTERVAL"]) + _SLACK


def running_stack(run_file: Path) -> Stack:
    """A stack that somebody else has started; it is left running."""
    home = run_file.resolve().parent
    return Stack(run_file, home if (home / "supervisor.json").exists() else None)


@contextmanager
def own_stack(name: str, settings: Mapping[str, str]) -> Iterator[Stack]:
    """Start a stack and stop it again; afterwards no process of it may be left."""
    _clear_away_dead_sessions()
    home = HOMES / f"{os.getpid()}-{name}"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    try:
        _up(home, settings)
        yield Stack(home / "run.json", home, swept_within(settings))
    finally:
        down = _supervisor("down", home, {})
        left = processes_of(home)
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        keep = os.environ.get("E2E_KEEP_HOME")
        if not keep:
            shutil.rmtree(home, ignore_errors=True)
    assert down.returncode == 0, f"the stack did not go down: {down.stdout}"
    assert not left, f"`down` left processes behind: {left}"


def processes_of(home: Path) -> list[psutil.Process]:
    """Living processes that carry this home in their environment, or their command line."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            carries = process.environ().get("LEADS_STACK_HOME") == str(home)
            if carries and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _up(home: Path, settings: Mapping[str, str]) -> None:
    """Bring it up; when somebody has just taken one of our ports, try others."""
    for attempt in (1, 2, 3):
        done = _supervisor("up", home, {**settings, "LEADS_PORT_BASE": str(free_base())})
        if done.returncode == 0:
            return
        if "is in use" not in done.stdout or attempt == 3:
            raise StackFailedError(f"the stack did not start:\n{done.stdout}\n{_tails(home)}")


def _supervisor(command: str, home: Path, settings: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.local", command, "--home", str(home), "--profile", "test"],
        cwd=ROOT,
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_START_WITHIN,
        check=False,
    )


def _tails(home: Path) -> str:
    """The end of every log, for somebody who was not there."""
    tails = []
    for log in sorted((home / "log").glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()[-8:]
        if lines:
            tails.append(f"--- {log.name}\n" + "\n".join(line[:500] for line in lines))
    return "\n".join(tails)


def free_base() -> int:
    """A base whose hundred ports are free, above other checkouts' and below the system's own (32768 ...)."""
    choose = random.Random(os.getpid() * 1_000_003 + time.monotonic_ns())
    for _ in range(50):
        base = choose.randrange(20_000, 32_600, _SPAN)
        if all(_is_free(port) for port in range(base, base + _SPAN)):
            return base
    raise StackFailedError("found no hundred free ports between 20000 and 32700")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _clear_away_dead_sessions() -> None:
    HOMES.mkdir(parents=True, exist_ok=True)
    for folder in HOMES.iterdir():
        owner = folder.name.partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            _supervisor("down", folder, {})
            shutil.rmtree(folder, ignore_errors=True)
