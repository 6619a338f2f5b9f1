"""What the clients did and were told: the first source of truth of the checker."""

import time
from collections import defaultdict
from dataclasses import dataclass, field
from math import inf


@dataclass
class Attempt:
    """One request. ``status`` stays None when no answer came: the outcome is unknown."""

    key: str
    address: str
    sent_at: float
    status: int | None = None
    lead_id: str | None = None
    answered_at: float | None = None
    ended_at: float | None = None
    """When the client knew, or gave up waiting."""
    retry_after: str | None = None
    """What the answer said of when to come again."""

    @property
    def seconds(self) -> float | None:
        return None if self.answered_at is None else self.answered_at - self.sent_at


@dataclass
class ClientLog:
    """Every attempt of a scenario."""

    attempts: list[Attempt] = field(default_factory=list)
    in_flight: int = 0

    def begin(self, key: str, address: str) -> Attempt:
        attempt = Attempt(key, address, time.monotonic())
        self.attempts.append(attempt)
        self.in_flight += 1
        return attempt

    def end(
        self, attempt: Attempt, status: int | None, lead_id: str | None = None, retry_after: str | None = None
    ) -> None:
        self.in_flight -= 1
        attempt.status, attempt.lead_id, attempt.retry_after = status, lead_id, retry_after
        attempt.ended_at = time.monotonic()
        attempt.answered_at = None if status is None else attempt.ended_at

    def accepted(self) -> dict[str, str]:
        """Key -> lead id, of every key that was answered 201."""
        return {one.key: one.lead_id or "" for one in self.attempts if one.status == 201}

    def keys_of_addresses(self) -> dict[str, set[str]]:
        """Address (lower-cased) -> keys ever sent with it."""
        keys: dict[str, set[str]] = defaultdict(set)
        for one in self.attempts:
            keys[one.address.lower()].add(one.key)
        return dict(keys)

    def address_of(self, key: str) -> str:
        return next(one.address for one in self.attempts if one.key == key)

    def forget(self, lead_id: str) -> str:
        """Take out what was told of a lead that was to be erased; give its address, lower-cased."""
        keys = {one.key for one in self.attempts if one.lead_id == lead_id}
        address = next(one.address for one in self.attempts if one.key in keys)
        self.attempts = [one for one in self.attempts if one.key not in keys]
        return address.lower()

    def statuses(self) -> dict[str, int]:
        """How many attempts ended how."""
        counts: dict[str, int] = defaultdict(int)
        for one in self.attempts:
            counts["unknown" if one.status is None else str(one.status)] += 1
        return dict(sorted(counts.items()))

    def unhinted(self) -> int:
        """How many 503 did not say in whole seconds when to come again (RFC 9110 s. 10.2.3)."""
        return sum(one.status == 503 and not (one.retry_after or "").isdecimal() for one in self.attempts)

    def longest(self) -> float:
        """Seconds that the slowest attempt took, answered or not."""
        return max((one.ended_at - one.sent_at for one in self.attempts if one.ended_at is not None), default=0.0)

    def latencies(self, until: float = inf) -> list[float]:
        """Seconds to each answer, sorted; of what was sent before ``until`` (monotonic clock)."""
        return sorted(one.seconds for one in self.attempts if one.seconds is not None and one.sent_at < until)

    def p99(self, until: float = inf) -> float | None:
        """Seconds within which 99 of 100 answers came; None without an answer."""
        found = self.latencies(until)
        return found[int(len(found) * 0.99)] if found else None

    def server_errors(self, until: float = inf) -> int:
        """Answers of 500 and above."""
        return sum(one.status is not None and one.status >= 500 and one.sent_at < until for one in self.attempts)
