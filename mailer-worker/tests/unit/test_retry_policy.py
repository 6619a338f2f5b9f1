from datetime import UTC, datetime, timedelta

import pytest
from mailer_worker.retry_policy import delay_after, is_expired

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def test_the_delay_doubles_up_to_the_longest() -> None:
    delays = [delay_after(number, 30, 1800) for number in range(1, 10)]
    assert delays == [30, 60, 120, 240, 480, 960, 1800, 1800, 1800]
    assert delay_after(100_000, 30, 1800) == 1800


@pytest.mark.parametrize(("hours", "expired"), [(0, False), (47.9, False), (48, True), (480, True)])
def test_a_mail_expires_after_its_time(hours: float, expired: bool) -> None:
    assert is_expired(NOW - timedelta(hours=hours), NOW, 48 * 3600) is expired
