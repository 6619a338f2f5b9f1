"""Being woken by the database: LISTEN on a connection of its own, dialled again when it is lost.

A notification is a hint to other processes: the one that wrote the rows wakes its own loop at once, in
process. So hints are gathered for a moment; a busy day costs a round now and then, not one per row.
"""

import asyncio
import contextlib
from collections.abc import Callable

import asyncpg
import structlog

from service_chassis import telemetry
from service_chassis.database import CONNECT_TIMEOUT_S, LINK_ERRORS, plain_url, server_settings

log = structlog.get_logger(__name__)

GATHER_S = 0.2
RECONNECT_S = 1.0


async def listen(
    database_url: str, channel: str, application: str, wake: Callable[[], None], stop: asyncio.Event
) -> None:
    """Call ``wake`` soon after notifications on ``channel``, and after each loss of the connection, until ``stop``."""
    is_away = False
    while not stop.is_set():
        try:
            await _one_connection(plain_url(database_url), channel, application, wake, stop)
            is_away = False
        except LINK_ERRORS as error:
            if not is_away:
                log.warning("not_listening", channel=channel, **telemetry.log_fields(error))
            is_away = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RECONNECT_S):
                await stop.wait()


async def _one_connection(
    url: str, channel: str, application: str, wake: Callable[[], None], stop: asyncio.Event
) -> None:
    over, hinted = asyncio.Event(), asyncio.Event()
    connection = await asyncpg.connect(
        url,
        timeout=CONNECT_TIMEOUT_S,
        server_settings=dict(server_settings(f"{application} listening", statement_s=10, idle_transaction_s=5)),
    )
    gathering = asyncio.create_task(_gather(hinted, wake), name=f"gather-{channel}")
    try:
        connection.add_termination_listener(lambda _: over.set())
        await connection.add_listener(channel, lambda *_: hinted.set())
        wake()
        waits = [asyncio.ensure_future(event.wait()) for event in (over, stop)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
    finally:
        gathering.cancel()
        connection.terminate()


async def _gather(hinted: asyncio.Event, wake: Callable[[], None]) -> None:
    while True:
        await hinted.wait()
        await asyncio.sleep(GATHER_S)
        hinted.clear()
        wake()
