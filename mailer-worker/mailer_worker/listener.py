"""Wakes the sender when any process has stored a delivery: LISTEN on a connection of its own.

A lost connection is dialled again; what was missed meanwhile is found by the sender's tick.
"""

import asyncio
import contextlib
from collections.abc import Callable

import asyncpg
import structlog
from service_chassis import telemetry
from service_chassis.database import CONNECT_TIMEOUT_S, plain_url, server_settings

from mailer_worker.repository import CHANNEL

log = structlog.get_logger(__name__)

RECONNECT_S = 1.0


async def listen(database_url: str, wake: Callable[[], None], stop: asyncio.Event) -> None:
    """Call ``wake`` for every notification until ``stop``, through outages of the database."""
    while not stop.is_set():
        try:
            await _one_connection(database_url, wake, stop)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("listener_waiting", **telemetry.log_fields(error))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RECONNECT_S):
                await stop.wait()


async def _one_connection(database_url: str, wake: Callable[[], None], stop: asyncio.Event) -> None:
    over = asyncio.Event()
    connection = await asyncpg.connect(
        plain_url(database_url),
        timeout=CONNECT_TIMEOUT_S,
        server_settings=dict(server_settings("mailer-worker listener", statement_s=10, idle_transaction_s=5)),
    )
    try:
        connection.add_termination_listener(lambda _: over.set())
        await connection.add_listener(CHANNEL, lambda *_: wake())
        wake()
        waits = [asyncio.ensure_future(event.wait()) for event in (over, stop)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
    finally:
        connection.terminate()
