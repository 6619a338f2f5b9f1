"""What a person sees while the stack starts: one line for each step, with its time."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator


class Console:
    """Prints lines whole, from any thread; optionally repeats them to a file descriptor (of `up`, which waits)."""

    def __init__(self, report_to: int | None = None) -> None:
        self._lock = threading.Lock()
        self._report_to = report_to

    def say(self, line: str = "") -> None:
        """Print one line."""
        with self._lock:
            print(line, flush=True)
            self._repeat(line)

    def complain(self, line: str) -> None:
        """Print one line about something wrong."""
        with self._lock:
            print(line, file=sys.stderr, flush=True)
            self._repeat(line)

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Say what begins (when it takes over a second) and how long it took."""
        began = time.monotonic()
        slow = threading.Timer(1.0, self.say, [f"  ..    {what}"])
        slow.daemon = True
        slow.start()
        try:
            yield
        finally:
            slow.cancel()
        self.say(f"{time.monotonic() - began:5.1f} s {what}")

    def stop_reporting(self) -> None:
        """Let whoever waits at the other end go: the stack is ready, or has failed."""
        with self._lock:
            if self._report_to is not None:
                os.close(self._report_to)
                self._report_to = None

    def _repeat(self, line: str) -> None:
        if self._report_to is None:
            return
        try:
            os.write(self._report_to, f"{line}\n".encode())
        except BrokenPipeError:  # whoever waited has gone; the log has the line
            os.close(self._report_to)
            self._report_to = None
