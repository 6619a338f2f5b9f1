"""Waiting for a condition with a deadline: the only place that lets time pass."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException

from deploy.local.errors import StackError

_INTERVAL = 0.05


class StartCancelledError(StackError):
    """The wait was given up because the stack is being stopped."""


def wait_until(
    condition: Callable[[], bool], *, within: float, what: str, cancel: threading.Event | None = None
) -> None:
    """Poll `condition` every 50 ms; raise StackError(what) after `within` seconds, StartCancelledError on `cancel`."""
    cancel = cancel or threading.Event()
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() >= deadline:
            raise StackError(what)
        if cancel.wait(_INTERVAL):
            raise StartCancelledError("stopped while starting")


def accepts_connections(port: int) -> bool:
    """Whether something listens on a loopback port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def answers_ok(port: int, path: str, host: str = "127.0.0.1") -> bool:
    """Whether `GET path` on a port (of this machine, unless told otherwise) answers 200."""
    connection = HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
