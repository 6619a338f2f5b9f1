"""How long a dead process waits before its next start: quick at first, slower when it keeps dying."""

from __future__ import annotations

from dataclasses import dataclass

FIRST = 0.2
LONGEST = 10.0
FORGIVEN_AFTER = 30.0


@dataclass(slots=True)
class Backoff:
    """Delays in seconds: 0.2 doubling to 10, back to 0.2 after a life of 30 s."""

    _next: float = FIRST

    def delay(self, lived: float) -> float:
        """Give the delay before the next start of a process that lived `lived` seconds."""
        if lived >= FORGIVEN_AFTER:
            self._next = FIRST
        delay = self._next
        self._next = min(self._next * 2, LONGEST)
        return delay
