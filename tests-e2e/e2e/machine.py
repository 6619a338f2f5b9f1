"""How much of the machine was ours while something was measured: a promise of seconds holds for a whole machine."""

import os
from collections.abc import Iterable
from contextlib import suppress

import psutil

from e2e.stack import Stack


class MachineShare:
    """Between `__init__` and `share`: the part of the machine's processors that nobody else used."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._ours = self._own_seconds()
        self._busy, self._all = _machine_seconds()

    def share(self) -> float:
        """From 0.1 (others used nearly everything) to 1 (the machine was ours)."""
        ours = self._own_seconds() - self._ours
        busy, whole = _machine_seconds()
        others = max(0.0, (busy - self._busy) - ours) / max(1e-6, whole - self._all)
        return min(1.0, max(0.1, 1.0 - others))

    def _own_seconds(self) -> float:
        pids = [pid for pids in self._stack.run["processes"].values() for pid in pids]
        return sum(map(_seconds, _with_children([*pids, os.getpid()])))


def _with_children(pids: Iterable[int]) -> list[psutil.Process]:
    found: dict[int, psutil.Process] = {}
    for pid in pids:
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            found.update({one.pid: one for one in (process, *process.children(recursive=True))})
    return list(found.values())


def _seconds(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def _machine_seconds() -> tuple[float, float]:
    times = psutil.cpu_times()
    whole = float(sum(times[:8]))  # without guest times, which user time holds already
    idle = float(times.idle + getattr(times, "iowait", 0.0))
    return whole - idle, whole
