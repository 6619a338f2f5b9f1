"""Brings a whole stack up: what does not depend on each other starts at the same time.

PostgreSQL -> migrations -> seeding -> API and workers; RabbitMQ -> topology; SeaweedFS; mail. The workers do not wait
for the broker to start: they find it when it is there. What the data has seen before (migrations, seeding, topology)
is not run again.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

import psutil

from deploy.local import one_shot
from deploy.local.application import API, ApplicationProcess
from deploy.local.configuration import Configuration
from deploy.local.console import Console
from deploy.local.done_before import DoneBefore
from deploy.local.errors import StackError
from deploy.local.service import Service
from deploy.local.waiting import StartCancelledError


class Startup:
    """One bring-up of one stack; `cancel` ends it early."""

    def __init__(
        self,
        configuration: Configuration,
        processes: Sequence[ApplicationProcess],
        console: Console,
        cancel: threading.Event,
    ) -> None:
        self._configuration = configuration
        self._processes = processes
        self._console = console
        self._cancel = cancel
        self._done = DoneBefore(configuration)

    def run(self) -> None:
        """Start everything and wait until it is ready; raise the first StackError, with everything told to give up."""
        api = [process for process in self._processes if process.kind is API]
        workers = [process for process in self._processes if process.kind is not API]
        with ThreadPoolExecutor(max_workers=16, thread_name_prefix="start") as pool:
            database = pool.submit(self._bring_up_database)
            broker = pool.submit(self._bring_up_broker)
            store = pool.submit(self._bring_up, self._configuration.seaweedfs)
            mail = pool.submit(self._bring_up, self._configuration.mail)

            def after(needs: Sequence[Future[None]], work: Callable[[], None]) -> Future[None]:
                def run() -> None:
                    for need in needs:
                        need.result()
                    work()

                return pool.submit(run)

            answering = after([database, store], lambda: self._bring_up_processes(api, "the API"))
            # Not after the broker: they wait for it by themselves, and their start takes as long as its own.
            working = after([database, store], lambda: self._bring_up_processes(workers, "the workers"))
            parts = [database, broker, store, mail, answering, working]
            done, _ = wait(parts, return_when=FIRST_EXCEPTION)
            if any(part.exception() for part in done):
                self._cancel.set()
        errors = [error for part in parts if (error := part.exception())]
        if errors:
            raise next((error for error in errors if not isinstance(error, StartCancelledError)), errors[0])

    def _bring_up(self, service: Service | None) -> None:
        if service is None:
            return
        with self._console.step(service.title):
            service.start()
            service.wait_ready(self._cancel)

    def _bring_up_database(self) -> None:
        self._bring_up(self._configuration.postgres)
        self._run(one_shot.MIGRATE)
        self._run(one_shot.SEED)

    def _bring_up_broker(self) -> None:
        self._bring_up(self._configuration.rabbitmq)
        self._run(one_shot.DECLARE_TOPOLOGY)

    def _bring_up_processes(self, processes: Sequence[ApplicationProcess], what: str) -> None:
        with self._console.step(what):
            for process in processes:
                process.start()
            for process in processes:
                process.wait_ready(self._cancel)

    def _run(self, step: one_shot.OneShot) -> None:
        if self._done.knows(step):
            return
        with self._console.step(step.what):
            one_shot.run(step, self._configuration.home, self._configuration.settings, self._cancel)
        self._done.remember(step)


def check_ports(services: Sequence[Service]) -> None:
    """Raise StackError naming the first port that somebody else uses, and who."""
    for service in services:
        for what, port in service.ports().items():
            if _is_taken(port):
                raise StackError(
                    f"port {port} ({what}) is in use{_by_whom(port)}: stop that, or choose other ports, "
                    "for instance LEADS_PORT_BASE=8100"
                )


def _is_taken(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _by_whom(port: int) -> str:
    """Name the process that listens, where the system lets us see it."""
    try:
        listening = [c for c in psutil.net_connections("tcp4") if c.status == psutil.CONN_LISTEN]
        pids = [c.pid for c in listening if c.laddr and c.laddr.port == port and c.pid]
        return f" by {psutil.Process(pids[0]).name()} (pid {pids[0]})" if pids else ""
    except psutil.Error:
        return ""
