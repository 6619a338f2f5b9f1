"""Finds and ends what a supervisor that was killed has left running, and nothing else.

Every process of a stack carries the stack's home in its environment; that finds the whole family, grandchildren
included. Where an environment may not be read (PostgreSQL as nobody inside a container), the pids recorded with
their start times in supervisor.json are the second witness.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence

import psutil

from deploy.local.child import MARKER
from deploy.local.layout import Home

Recorded = list[tuple[int, float]]
_GRACE = 15.0


def record(pids: Sequence[int]) -> Recorded:
    """Pair pids with their start times, so that a reused pid is not mistaken for ours."""
    recorded: Recorded = []
    for pid in pids:
        with contextlib.suppress(psutil.Error):  # ended in between
            recorded.append((pid, psutil.Process(pid).create_time()))
    return recorded


def find(home: Home) -> list[psutil.Process]:
    """Give the living processes of this home, whoever started them."""
    found: dict[int, psutil.Process] = {process.pid: process for process in _recorded(home)}
    wanted = str(home.folder)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # gone, or not ours to look at
            if process.environ().get(MARKER) == wanted and process.status() != psutil.STATUS_ZOMBIE:
                found[process.pid] = process
    return list(found.values())


def stop(home: Home) -> int:
    """End what is left, politely first; give the number of processes."""
    processes = find(home)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=_GRACE if processes else 0)
    alive = [*alive, *find(home)]
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=5)
    return len(processes)


def _recorded(home: Home) -> list[psutil.Process]:
    if not home.supervisor_file.exists():
        return []
    try:
        children = json.loads(home.supervisor_file.read_text(encoding="utf-8"))["children"]
    except (ValueError, KeyError):
        return []
    found: list[psutil.Process] = []
    for pid, started in children:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(int(pid))
            if process.create_time() == started and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
