"""Being woken by the database: LISTEN on a connection of its own, dialled again when it is lost.

A link that says nothing is asked now and then: silence alone does not tell a dead one from a quiet day.
A notification is a hint to other processes: the one that wrote the rows wakes its own loop at once, in
process. So hints are gathered for a moment; a busy day costs a round now and then, not one per row.
"""

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from service_chassis import telemetry
from service_chassis.database import CONNECT_TIMEOUT_S, LINK_ERRORS, connect
from service_chassis.pulse import Pulse

log = structlog.get_logger(__name__)

GATHER_S = 0.2
RECONNECT_S = 1.0
ASK_S = 10.0


async def listen(
    database_url: str,
    channel: str,
    application: str,
    wake: Callable[[], None],
    stop: asyncio.Event,
    pulse: Pulse | None = None,
) -> None:
    """Call ``wake`` soon after notifications on ``channel``, and after each loss of the connection, until ``stop``."""
    pulse = pulse or Pulse()
    is_away = False
    while not stop.is_set():
        pulse.beat()
        try:
            await _one_connection(database_url, channel, application, wake, stop, pulse)
            is_away = False
        except LINK_ERRORS as error:
            if not is_away:
                log.warning("not_listening", channel=channel, **telemetry.log_fields(error))
            is_away = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RECONNECT_S):
                await stop.wait()


async def _one_connection(
    url: str, channel: str, application: str, wake: Callable[[], None], stop: asyncio.Event, pulse: Pulse
) -> None:
    over, hinted = asyncio.Event(), asyncio.Event()
    connection = await connect(url, f"{application} listening", command_s=CONNECT_TIMEOUT_S, idle_transaction_s=5)
    waits: list[asyncio.Future[bool]] = []
    gathering = asyncio.create_task(_gather(hinted, wake), name=f"gather-{channel}")
    try:
        connection.add_termination_listener(lambda _: over.set())
        await connection.add_listener(channel, lambda *_: hinted.set())
        wake()
        waits += [asyncio.ensure_future(event.wait()) for event in (over, stop)]
        while not (over.is_set() or stop.is_set()):
            await asyncio.wait(waits, timeout=ASK_S, return_when=asyncio.FIRST_COMPLETED)
            if not (over.is_set() or stop.is_set()):
                await connection.execute("SELECT 1")
            pulse.beat()
    finally:
        for wait in waits:
            wait.cancel()
        gathering.cancel()
        connection.terminate()


async def _gather(hinted: asyncio.Event, wake: Callable[[], None]) -> None:
    while True:
        await hinted.wait()
        await asyncio.sleep(GATHER_S)
        hinted.clear()
        wake()
