"""Erlang's port mapper (epmd), started by us: the one that Erlang starts by itself outlives every broker."""

from __future__ import annotations

import os
import signal

from deploy.local.child import MARKER, Child
from deploy.local.layout import Home
from deploy.local.rabbitmq_binaries import find_or_unpack
from deploy.local.waiting import accepts_connections, wait_until


class PortMapper:
    """One mapper on one loopback port, for the nodes of one home."""

    def __init__(self, home: Home, port: int) -> None:
        self._home = home
        self._port = port
        self._child: Child | None = None

    def start(self) -> None:
        """Start it if it is not there; raise StackError when it does not listen."""
        if self._child is not None and self._child.exit_status() is None:
            return
        log = self._home.log / "epmd.log"
        command = [str(find_or_unpack().epmd), "-port", str(self._port), "-address", "127.0.0.1"]
        self._child = Child(command, {**os.environ, MARKER: str(self._home.folder)}, self._home.folder, log)
        wait_until(
            lambda: accepts_connections(self._port),
            within=10,
            what=f"Erlang's port mapper does not listen: see {self._home.shown(log)}",
        )

    def stop(self) -> None:
        """Stop it; its nodes must have ended before."""
        if self._child:
            self._child.stop(signal.SIGTERM, 2.0)
            self._child = None
