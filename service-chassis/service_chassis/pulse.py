"""Whether a loop still comes round, and the end of a process in which one does not.

Nothing in a process of ours may hang for ever: a loop beats its pulse at every turn, whatever came of the turn.
``/livez`` tells first; then the watchdog ends the process, and whoever supervises it starts it again. To end at
once is safe: what is in flight is neither acked nor deleted before its commit, as after a kill.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping

import structlog

log = structlog.get_logger(__name__)

LOOK_S = 1.0


class Pulse:
    """Counts the turns of one loop."""

    def __init__(self) -> None:
        self.turns = 0
        self._at = time.monotonic()

    def beat(self) -> None:
        """The loop has come round."""
        self.turns += 1
        self._at = time.monotonic()

    def silent_for(self) -> float:
        """Seconds since the last turn."""
        return time.monotonic() - self._at


def end_at_once() -> None:
    """End this process with exit code 1, whatever its tasks are waiting for."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


class Watchdog:
    """A thread, so that a blocked event loop is noticed too. Ends the process when a pulse misses ``limit`` seconds.

    It counts its own looks, not the clock: a process that was frozen as a whole is not ended when it wakes.
    """

    def __init__(
        self, pulses: Mapping[str, Pulse], limit: float, end: Callable[[], None] = end_at_once, look: float = LOOK_S
    ) -> None:
        self._pulses = pulses
        self._limit = limit
        self._end = end
        self._look = look
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer: the loops are about to end."""
        self._over.set()

    def _watch(self) -> None:
        turns = {name: pulse.turns for name, pulse in self._pulses.items()}
        missed = dict.fromkeys(turns, 0)
        while not self._over.wait(self._look):
            for name, pulse in self._pulses.items():
                if pulse.turns != turns[name]:
                    turns[name], missed[name] = pulse.turns, 0
                    continue
                missed[name] += 1
                if missed[name] * self._look > self._limit:
                    log.error("loop_hangs", loop=name, seconds=round(missed[name] * self._look, 1))
                    self._end()
                    return
