"""Keeps one service alive: notices its death, says so, and starts it again after a growing delay."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from deploy.local.backoff import Backoff
from deploy.local.child import describe_exit
from deploy.local.errors import StackError
from deploy.local.service import Service


class Watched:
    """A service with its history. `tick` is called often by one thread; `stop` and `start` by any."""

    def __init__(self, service: Service, complain: Callable[[str], None]) -> None:
        self.service = service
        self.restarts = 0
        self._complain = complain
        self._backoff = Backoff()
        self._lock = threading.Lock()
        self._wanted = True
        self._began = time.monotonic()
        self._next_start: float | None = None

    def state(self) -> str:
        """Give `running`, `stopped` (on purpose) or `waiting` (for its next start)."""
        if self.service.exit_status() is None:
            return "running"
        return "waiting" if self._wanted else "stopped"

    def tick(self) -> None:
        """Look after it: never waits for anything."""
        if not self._lock.acquire(blocking=False):  # being stopped or started on purpose
            return
        try:
            if self._wanted:
                self._look_after()
        finally:
            self._lock.release()

    def stop(self) -> None:
        """Stop it on purpose; it stays stopped until `start`."""
        with self._lock:
            self._wanted = False
            self._next_start = None
            self.service.stop()

    def start(self, cancel: threading.Event) -> None:
        """Start it after a stop on purpose and wait until it is ready."""
        with self._lock:
            if self.service.exit_status() is not None:
                self._start()
            self._wanted = True
            self.service.wait_ready(cancel)

    def _look_after(self) -> None:
        now = time.monotonic()
        status = self.service.exit_status()
        if status is None:
            return
        if self._next_start is None:
            delay = self._backoff.delay(now - self._began)
            self._next_start = now + delay
            where = self.service.home.shown(self.service.log)
            self._complain(
                f"{self.service.name} died ({describe_exit(status)}), next start in {delay:g} s: see {where}"
            )
            self.service.bury()
        if now >= self._next_start:
            self._next_start = None
            self.restarts += 1
            try:
                self._start()
            except (StackError, OSError) as error:
                self._began = now
                self._complain(f"{self.service.name} cannot be started: {error}")

    def _start(self) -> None:
        self._began = time.monotonic()
        self._next_start = None
        self.service.start()
