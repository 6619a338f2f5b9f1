"""Runs one stack from start to end: starts it, watches it, answers commands, stops it in reverse order."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO

from deploy.local import leftovers, private_file, run_file, screen
from deploy.local.application import ApplicationProcess, processes
from deploy.local.configuration import Configuration, configure
from deploy.local.console import Console
from deploy.local.control import Answer, ControlServer
from deploy.local.errors import StackError
from deploy.local.layout import Home
from deploy.local.service import Service
from deploy.local.startup import Startup, check_ports
from deploy.local.waiting import StartCancelledError
from deploy.local.watching import Watched

_TICK = 0.1


class Supervisor:
    """One stack's life. `run` returns when everything is stopped."""

    def __init__(self, configuration: Configuration, console: Console) -> None:
        self.configuration = configuration
        self.console = console
        self.stopping = threading.Event()
        self.applications: list[ApplicationProcess] = processes(
            configuration.settings, configuration.home, configuration.ports
        )
        parts = (configuration.postgres, configuration.rabbitmq, configuration.seaweedfs, configuration.mail)
        self.infrastructure: list[Service] = [part for part in parts if part is not None]
        self._watched = {
            service.name: Watched(service, console.complain) for service in (*self.infrastructure, *self.applications)
        }
        self._written: dict[str, list[int]] = {}
        self._socket = ""

    def run(self) -> None:
        """Start, watch until told to stop, stop; raise StackError when the start fails, with nothing left running."""
        home = self.configuration.home
        ended = leftovers.stop(home)
        if ended:
            self.console.say(f"stopped {ended} processes left by a supervisor that was killed")
        check_ports(self._services())
        control = ControlServer(home, self._answer)
        self._socket = str(control.path)
        try:
            self._record()
            began = time.monotonic()
            Startup(self.configuration, self.applications, self.console, self.stopping).run()
            self._record()
            self.console.say(screen.ready(self.configuration, time.monotonic() - began))
            self.console.stop_reporting()
            self._watch()
        except StartCancelledError:
            self.console.say("stopping")
        finally:
            self.stopping.set()
            self._stop_all()
            control.close()
            home.run_file.unlink(missing_ok=True)
            home.supervisor_file.unlink(missing_ok=True)

    def _services(self) -> Sequence[Service]:
        return [watched.service for watched in self._watched.values()]

    def _watch(self) -> None:
        while not self.stopping.wait(_TICK):
            for watched in self._watched.values():
                watched.tick()
            self._record()
        self.console.say("stopping")

    def _record(self) -> None:
        """Write run.json and supervisor.json anew when a pid has changed."""
        pids = run_file.live_pids(self._services())
        if pids == self._written:
            return
        self._written = pids
        children = leftovers.record([pid for numbers in pids.values() for pid in numbers])
        state = {"pid": os.getpid(), "socket": self._socket, "children": children}
        private_file.write_json(self.configuration.home.supervisor_file, state)
        run_file.write(self.configuration, pids)

    def _stop_all(self) -> None:
        """Stop the application first, then what it stands on."""
        for group in (self.applications, self.infrastructure):
            with ThreadPoolExecutor(max_workers=max(1, len(group)), thread_name_prefix="stop") as pool:
                list(pool.map(lambda service: service.stop(), reversed(group)))

    def _answer(self, request: Mapping[str, object]) -> Answer:
        """Carry out one command of the control socket."""
        command = request["command"]
        if command == "status":
            return {"services": [self._row(name, watched) for name, watched in self._watched.items()]}
        if command == "down":
            self.stopping.set()
            return {"pid": os.getpid()}
        chosen = [self._named(str(name)) for name in self._names(str(request["service"]))]
        for watched in chosen:
            if command == "stop":
                watched.stop()
            elif command == "start":
                watched.start(self.stopping)
            else:
                raise StackError(f"unknown command {command}")
        self._record()
        return {"done": [watched.service.name for watched in chosen]}

    def _names(self, wanted: str) -> list[str]:
        """Give the services meant by a name: one, or all processes of a kind."""
        names = [name for name, watched in self._watched.items() if wanted in (name, watched.service.kind_name)]
        if not names:
            raise StackError(f"no service {wanted!r} here: choose among {', '.join(self._watched)}")
        return names

    def _named(self, name: str) -> Watched:
        return self._watched[name]

    def _row(self, name: str, watched: Watched) -> dict[str, object]:
        return {
            "name": name,
            "state": watched.state(),
            "pids": watched.service.pids(),
            "restarts": watched.restarts,
            "ports": sorted(set(watched.service.ports().values())),
        }


def run(home: Home, environment: Mapping[str, str], profile: str, console: Console) -> None:
    """Run a home's stack until SIGINT, SIGTERM or `down`; raise StackError when it cannot be started."""
    home.create()
    with home.lock_file.open("w") as lock:
        _lock(lock)
        supervisor = Supervisor(configure(home, environment, profile), console)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: supervisor.stopping.set())
        supervisor.run()


def _lock(lock: IO[str]) -> None:
    """Hold the home for as long as this process lives."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StackError("a stack is already running here: `make down` stops it") from None
