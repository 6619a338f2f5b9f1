"""The circuit breaker before the relay: open, nothing is attempted and no attempt is burned.

Its state is this process's own: another worker may well reach the relay. It closes when a probe succeeds.
"""

import time

from mailer_worker import metrics

FIRST_PROBE_S = 1.0


class Circuit:
    """Open or closed, and when to look again: after a second, then twice as late each time, up to ``longest``."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._delay = 0.0
        self._probe_at = 0.0
        self.is_open = False

    def open(self) -> bool:
        """The relay is away. Returns whether that is news."""
        news, self.is_open = not self.is_open, True
        if news:
            self._delay = min(FIRST_PROBE_S, self._longest)
            self._probe_at = time.monotonic() + self._delay
        metrics.CIRCUIT_OPEN.set(1)
        return news

    def probe_failed(self) -> None:
        """Still away: look again later."""
        self._delay = min(self._delay * 2, self._longest)
        self._probe_at = time.monotonic() + self._delay

    def close(self) -> None:
        """The relay is there."""
        self.is_open = False
        metrics.CIRCUIT_OPEN.set(0)

    def seconds_to_probe(self) -> float:
        """Seconds until the next look; 0 when it is due."""
        return max(0.0, self._probe_at - time.monotonic())
