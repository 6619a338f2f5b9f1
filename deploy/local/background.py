"""`up` and `down`: a supervisor in the background, started and stopped from the terminal."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

import psutil

from deploy.local import control, leftovers
from deploy.local.child import last_line
from deploy.local.errors import StackError
from deploy.local.layout import ROOT, Home
from deploy.local.waiting import wait_until

_READY = b"Ready after"
_STOP_WITHIN = 90.0


def up(home: Home, profile: str) -> int:
    """Start a supervisor in a session of its own and repeat what it says until it is ready; give the exit status."""
    home.create()
    reading, writing = os.pipe()
    with home.supervisor_log.open("ab") as log, os.fdopen(reading, "rb") as lines:
        command = [sys.executable, "-m", "deploy.local", "run", "--home", str(home.folder), "--profile", profile]
        supervisor = subprocess.Popen(
            [*command, "--report-to", str(writing)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(writing,),
        )
        os.close(writing)
        ready = False
        try:
            for line in lines:
                ready = ready or line.startswith(_READY)
                sys.stdout.write(line.decode(errors="replace"))
                sys.stdout.flush()
        except KeyboardInterrupt:
            supervisor.send_signal(signal.SIGTERM)
            supervisor.wait(_STOP_WITHIN)
            return 130
    if ready:
        return 0
    status = supervisor.wait(_STOP_WITHIN)
    if status < 0:
        raise StackError(f"the supervisor was killed while starting: {last_line(home.supervisor_log)}")
    return status or 1


def down(home: Home) -> str:
    """Stop the home's supervisor and wait for its end, or what a killed one has left; say what was done."""
    try:
        pid = int(str(control.ask(home, {"command": "down"})["pid"]))
    except StackError:
        ended = leftovers.stop(home)
        for stale in (home.run_file, home.supervisor_file, home.folder / control.SOCKET):
            stale.unlink(missing_ok=True)
        return f"stopped {ended} processes left by a supervisor that was killed" if ended else "nothing is running here"
    with contextlib.suppress(psutil.NoSuchProcess):
        supervisor = psutil.Process(pid)
        wait_until(
            lambda: not supervisor.is_running() or supervisor.status() == psutil.STATUS_ZOMBIE,
            within=_STOP_WITHIN,
            what=f"the supervisor (pid {pid}) does not stop: see {home.shown(home.supervisor_log)}, then kill it",
        )
    return "stopped"
