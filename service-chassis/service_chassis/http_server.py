"""Serving HTTP inside a process that owns its own signals.

uvicorn re-raises the signal that stopped it, so that a clean stop looks like a death by SIGTERM; this
server is stopped by an event instead and lets the process exit 0.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp


class HttpServer(uvicorn.Server):
    """A uvicorn server that leaves signals alone. ``run_until(stop)`` serves until the event is set."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process: see the module docstring."""
        yield

    async def run_until(self, stop: asyncio.Event, sockets: list[socket.socket]) -> None:
        """Serve on ``sockets`` until ``stop``, then finish the requests in flight."""
        stopper = asyncio.create_task(self._stop_with(stop), name="http-stop")
        try:
            await self.serve(sockets=sockets)
        finally:
            stopper.cancel()

    async def _stop_with(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self.should_exit = True


def make_server(app: ASGIApp, *, grace: float, keep_alive: int = 5) -> HttpServer:
    """Build a server for ``app`` that gives requests in flight ``grace`` seconds on stop."""
    config = uvicorn.Config(
        app,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # whom to believe is the application's setting, not a default of the server
        timeout_keep_alive=keep_alive,
        timeout_graceful_shutdown=int(grace),
    )
    return HttpServer(config)


def listen(host: str, port: int, *, shared: bool = False, backlog: int = 2048) -> socket.socket:
    """A listening socket. ``shared`` lets several processes of one service listen on the same port.

    Raises OSError with the address in it when the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
    listener.setblocking(False)
    return listener
