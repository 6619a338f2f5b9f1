"""What every part of the stack has in common: prepared, started, asked whether it is ready, stopped."""

from __future__ import annotations

import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from deploy.local.child import MARKER, Child, describe_exit
from deploy.local.errors import StackError
from deploy.local.layout import Home
from deploy.local.waiting import wait_until


class Service(ABC):
    """A program that runs for as long as the stack does.

    Subclasses say how it is called and when it is ready; used alike by the supervisor and by the test fixtures.
    """

    stop_signal = signal.SIGTERM
    grace = 10.0
    niceness = 0
    """How far it steps back for the others when the machine is busy (nice(2): 0 not at all, 19 most)."""
    ready_within = 30.0

    def __init__(self, name: str, title: str, home: Home) -> None:
        self.name = name
        self.title = title
        self.home = home
        self._child: Child | None = None

    @property
    def kind_name(self) -> str:
        """Give its name in run.json; several processes of one kind share it."""
        return self.name

    @abstractmethod
    def ports(self) -> Mapping[str, int]:
        """Give the ports that must be free before the first start, by what they are for."""

    @abstractmethod
    def command(self) -> list[str]:
        """Give the command line."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Tell whether it answers."""

    def prepare(self) -> None:  # noqa: B027 - most have nothing to prepare
        """Make what the program needs on disk; called before each start, so it must be quick when it is there."""

    def provision(self) -> None:  # noqa: B027 - only PostgreSQL has
        """Make what can only be made through the running program; called when it is ready."""

    def environment(self) -> Mapping[str, str]:
        """Give the variables to add to the supervisor's own."""
        return {}

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.home.log / f"{self.name}.log"

    def start(self) -> None:
        """Start the program without waiting for it."""
        self.home.create()
        self.prepare()
        environment = {**os.environ, **self.environment(), MARKER: str(self.home.folder)}
        self._child = Child(self.command(), environment, self.home.folder, self.log, niceness=self.niceness)

    def wait_ready(self, cancel: threading.Event | None = None) -> None:
        """Wait until it answers; raise StackError with its last words when it dies or does not come up."""
        where = self.home.shown(self.log)

        def settled() -> bool:
            status = self.exit_status()
            if status is not None:
                words = self._child.last_words() if self._child else ""
                raise StackError(f"{self.title} ended while starting ({describe_exit(status)}): {words} [{where}]")
            return self.is_ready()

        late = f"{self.title} is not ready after {self.ready_within:g} s: see {where}"
        wait_until(settled, within=self.ready_within, what=late, cancel=cancel)
        self.provision()

    def exit_status(self) -> int | None:
        """Tell how it ended; None while it runs, 0 when it was never started."""
        return self._child.exit_status() if self._child else 0

    def pids(self) -> list[int]:
        """Give the pid that a test would kill; empty while it does not run."""
        return [self._child.pid] if self._child and self._child.exit_status() is None else []

    def bury(self) -> None:
        """Clear away what a dead program left running."""
        if self._child:
            self._child.sweep()

    def stop(self) -> None:
        """Stop it and everything it started."""
        if self._child:
            self._child.stop(self.stop_signal, self.grace)

    def kill(self) -> None:
        """End it as a crash would."""
        if self._child:
            self._child.kill()
