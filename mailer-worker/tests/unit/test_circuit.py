import pytest
from mailer_worker.circuit import Circuit


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_it_opens_once_and_looks_again_after_a_second(clock: list[float]) -> None:
    breaker = Circuit(15)
    assert (breaker.open(), breaker.open(), breaker.is_open) == (True, False, True)
    assert breaker.seconds_to_probe() == 1
    clock[0] += 1
    assert breaker.seconds_to_probe() == 0


def test_it_looks_twice_as_late_each_time_up_to_the_longest(clock: list[float]) -> None:
    breaker, waits = Circuit(15), []
    breaker.open()
    for _ in range(6):
        waits.append(breaker.seconds_to_probe())
        clock[0] += waits[-1]
        breaker.probe_failed()
    assert waits == [1, 2, 4, 8, 15, 15]


def test_a_relay_lost_again_is_news_again(clock: list[float]) -> None:
    breaker = Circuit(15)
    breaker.open()
    breaker.close()
    assert (breaker.is_open, breaker.open()) == (False, True)
