import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from deploy.local import leftovers
from deploy.local.backoff import Backoff
from deploy.local.errors import StackError
from deploy.local.layout import Home
from deploy.local.service import Service
from deploy.local.waiting import wait_until
from deploy.local.watching import Watched

SLEEPER = "import time; time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
)
PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
time.sleep(60)
"""


class TinyService(Service):
    grace = 0.3

    def __init__(self, home: Home, program: str, ready: Callable[["TinyService"], bool] = lambda _: True) -> None:
        super().__init__("tiny", "Tiny", home)
        self._program = program
        self._ready = ready

    def ports(self) -> Mapping[str, int]:
        return {}

    def command(self) -> list[str]:
        return [sys.executable, "-c", self._program]

    def is_ready(self) -> bool:
        return self._ready(self)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "home")
    yield home
    leftovers.stop(home)


def test_a_dead_process_is_reported_and_started_again(home: Home) -> None:
    said: list[str] = []
    watched = Watched(TinyService(home, SLEEPER), said.append)
    watched.service.start()
    [first] = watched.service.pids()
    os.kill(first, signal.SIGKILL)

    def restarted() -> bool:
        watched.tick()
        return watched.restarts == 1 and watched.service.pids() != []

    wait_until(restarted, within=5, what="not restarted")
    assert watched.service.pids() != [first]
    assert len(said) == 1
    assert "tiny died (signal SIGKILL)" in said[0]
    watched.stop()


def test_a_process_that_keeps_dying_is_started_ever_more_slowly(home: Home) -> None:
    said: list[str] = []
    watched = Watched(TinyService(home, "raise SystemExit(3)"), said.append)
    watched.service.start()

    def died_thrice() -> bool:
        watched.tick()
        return len(said) == 3

    wait_until(died_thrice, within=10, what="not seen dying")
    assert ["0.2 s" in said[0], "0.4 s" in said[1], "0.8 s" in said[2]] == [True, True, True]
    assert all("exit status 3" in line for line in said)


def test_delays_double_to_ten_seconds_and_a_long_life_is_forgiven() -> None:
    backoff = Backoff()
    delays = [backoff.delay(lived=0.1) for _ in range(8)]
    assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert backoff.delay(lived=30.0) == 0.2


def test_a_service_stopped_on_purpose_stays_stopped(home: Home) -> None:
    watched = Watched(TinyService(home, SLEEPER), pytest.fail)
    watched.service.start()
    watched.stop()
    until = time.monotonic() + 0.5

    def still_stopped_for_a_while() -> bool:
        watched.tick()
        assert watched.service.pids() == []
        return time.monotonic() > until

    wait_until(still_stopped_for_a_while, within=5, what="unreachable")
    assert watched.state() == "stopped"


def test_a_process_that_ignores_the_request_is_killed(home: Home) -> None:
    service = TinyService(home, STUBBORN, lambda self: self.log.read_text().startswith("deaf"))
    service.start()
    service.wait_ready()
    [pid] = service.pids()
    service.stop()
    assert service.exit_status() == -signal.SIGKILL
    assert not psutil.pid_exists(pid)


def test_stopping_takes_descendants_along_even_in_sessions_of_their_own(home: Home) -> None:
    def has_child(service: TinyService) -> bool:
        return len(psutil.Process(service.pids()[0]).children()) == 1

    service = TinyService(home, PARENT, has_child)
    service.start()
    service.wait_ready()
    [child] = psutil.Process(service.pids()[0]).children()
    service.stop()
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_service_that_dies_while_starting_says_its_last_words(home: Home) -> None:
    service = TinyService(home, "raise SystemExit('no such colour')", lambda _: False)
    service.start()
    with pytest.raises(StackError, match=r"exit status 1.*no such colour"):
        service.wait_ready()


def test_what_a_killed_supervisor_left_is_found_by_its_home_and_ended(home: Home, tmp_path: Path) -> None:
    mine, other = TinyService(home, SLEEPER), TinyService(Home(tmp_path / "other"), SLEEPER)
    mine.start()
    other.start()
    try:
        assert leftovers.stop(home) == 1
        wait_until(lambda: mine.exit_status() is not None, within=5, what="still running")
        assert other.exit_status() is None
    finally:
        other.stop()
