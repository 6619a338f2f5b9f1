"""When the next attempt comes. Pure: numbers in, numbers out."""

from datetime import datetime, timedelta


def delay_after(attempts_made: int, first: float, longest: float) -> float:
    """Seconds to the next attempt after ``attempts_made`` (>= 1): ``first``, doubled each time, at most ``longest``."""
    return min(first * 2.0 ** min(attempts_made - 1, 60), longest)


def is_expired(first_queued_at: datetime, now: datetime, expire_after: float) -> bool:
    """Whether a mail that cannot be delivered now has been tried for long enough."""
    return now - first_queued_at >= timedelta(seconds=expire_after)
