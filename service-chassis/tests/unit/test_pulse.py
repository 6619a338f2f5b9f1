"""The watchdog ends a process in which a loop has stopped coming round, and no other."""

import threading
import time

import structlog
from service_chassis.pulse import Pulse, Watchdog


def test_it_ends_the_process_and_names_the_loop_that_hangs() -> None:
    hanging, beating, ended = Pulse(), Pulse(), threading.Event()
    watchdog = Watchdog({"beating": beating, "hanging": hanging}, 0.3, ended.set, look=0.02)
    with structlog.testing.capture_logs() as logs:
        watchdog.start()
        while not ended.wait(0.01):
            beating.beat()
    (line,) = logs
    assert (line["event"], line["loop"]) == ("loop_hangs", "hanging")


def test_it_leaves_a_process_alone_that_was_frozen_as_a_whole() -> None:
    """A pulse that is long past by the clock, as after a freeze, is given the whole bound again."""
    pulse, ended = Pulse(), threading.Event()
    pulse._at = time.monotonic() - 3600
    watchdog = Watchdog({"loop": pulse}, 3600, ended.set, look=0.01)
    watchdog.start()
    assert not ended.wait(0.2)
    watchdog.stop()


def test_it_watches_no_longer_once_the_loops_are_told_to_end() -> None:
    ended = threading.Event()
    watchdog = Watchdog({"loop": Pulse()}, 0.05, ended.set, look=0.02)
    watchdog.start()
    watchdog.stop()
    assert not ended.wait(0.3)
