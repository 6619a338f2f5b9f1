"""One operating-system process of ours: its log, its exit, and its end with everything it started."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

MARKER = "LEADS_STACK_HOME"
_LARGEST_LOG = 10 * 1024 * 1024


_OPEN_FILES = 65536


def raise_file_limit() -> None:
    """Let this process and its children open as many files as the user may.

    A plain user starts with 1024, which RabbitMQ's quorum queues use up.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Child:
    """A process in a session of its own, so that a Ctrl-C in the terminal reaches the supervisor only."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path, *, niceness: int = 0
    ) -> None:
        self._log = log
        raise_file_limit()
        if log.exists() and log.stat().st_size > _LARGEST_LOG:
            log.replace(log.with_suffix(log.suffix + ".1"))
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env=dict(environment),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if niceness:
            with contextlib.suppress(ProcessLookupError):  # it ended at once: its exit is reported, not this
                os.setpriority(os.PRIO_PROCESS, self.pid, niceness)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def exit_status(self) -> int | None:
        """The exit status, negative for a signal; None while it lives."""
        return self._process.poll()

    def wait(self, timeout: float) -> int:
        """Wait for the end and give the exit status; raise TimeoutError when it does not come."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"process {self.pid} still runs after {timeout:g} s") from None

    def stop(self, stop_signal: signal.Signals, grace: float) -> None:
        """Ask for the end, wait `grace` seconds, then kill whatever is left of it and its descendants."""
        family = _descendants(self.pid)
        if self.exit_status() is None:
            self._process.send_signal(stop_signal)
            with contextlib.suppress(TimeoutError):  # past its grace: killed below
                self.wait(grace)
        if self.exit_status() is None:
            family += _descendants(self.pid)
            self._process.kill()
            self.wait(10)
        self.sweep()
        _end(family)

    def kill(self) -> None:
        """End it at once, as a crash would, with what it started."""
        family = _descendants(self.pid)
        self._process.kill()
        self.wait(10)
        self.sweep()
        _end(family)

    def sweep(self) -> None:
        """Kill what a dead process left in its group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nothing left; macOS says EPERM for zombies
            os.killpg(self.pid, signal.SIGKILL)

    def last_words(self) -> str:
        """The last line of the log that says something, for an error message."""
        return last_line(self._log)


def last_line(log: Path) -> str:
    """The last non-empty line of a log, shortened; empty when there is none."""
    if not log.exists():
        return ""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - 8192))
        lines = stream.read().decode(errors="replace").splitlines()
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")


def describe_exit(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _end(family: Sequence[psutil.Process]) -> None:
    """Give descendants a moment to follow their parent, then kill them."""
    _, alive = psutil.wait_procs(family, timeout=1.0)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=5.0)
