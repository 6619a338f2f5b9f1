"""Consuming: FastStream on a broker connection of its own, started only while the database answers.

A session is one `RabbitBroker` from start to stop. It ends when the process stops, when a handler found
the database away, or when the broker has not answered, or has not known us as a consumer, for a while;
the next session begins on the next node once the database answers. Ending the session closes its
connection whatever happens, so that every message in flight goes back to the broker: nothing is held by
a process that cannot work, nor by a connection that nobody looks after.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import AMQPError
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitMessage, RabbitQueue

from service_chassis import telemetry
from service_chassis.broker_link import CONNECT_TIMEOUT_S, broker_urls, confirmed, with_heartbeat
from service_chassis.database import Sessions
from service_chassis.hearing import Probe, QueueHearer, Subscription
from service_chassis.lenient_amqp import accept_any_message
from service_chassis.pulse import Pulse
from service_chassis.settings import ConsumerGroup
from service_chassis.topology import declare_once
from service_chassis.transient import is_cancelled_by_us, is_dependency_away

log = structlog.get_logger(__name__)

RETRY_S = 1.0
START_S = 10.0
STOP_S = 5.0
"""Beyond the handlers' own grace."""
CLOSE_S = 1.0
LOOK_S = 1.0
LOOK_TIMEOUT_S = 2.0
LINK_LOST_S = 5.0


async def undecoded(message: RabbitMessage) -> RabbitMessage:
    """A decoder that cannot fail: an undecodable body would otherwise go round for ever. We parse."""
    return message


class Consumer:
    """All subscriptions of one process. ``run`` ends when ``stop`` is set, or raises TopologyMismatchError."""

    def __init__(
        self,
        amqp_urls: str,
        subscriptions: Sequence[Subscription],
        sessions: Sessions,
        settings: ConsumerGroup,
        probe: Probe,
        app_id: str,
    ) -> None:
        accept_any_message()
        self._urls = itertools.cycle(broker_urls(amqp_urls))
        self._amqp_urls = amqp_urls
        self._settings = settings
        self._probe = probe
        self._app_id = app_id
        self._pause = asyncio.Event()
        self._hearers = {
            subscription.queue.name: QueueHearer(subscription, sessions, settings, probe, self._pause.set)
            for subscription in subscriptions
        }
        self.is_connected = False
        self.pulse = Pulse()

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until ``stop``, through every outage of database and broker."""
        away: str | None = None
        while not stop.is_set():
            self.pulse.beat()
            try:
                await self._probe()
                await declare_once(self._amqp_urls)
                await self._session(stop)
                away = None
            except Exception as error:
                if not _is_away(error):
                    raise
                if away != type(error).__name__:
                    away = type(error).__name__
                    log.warning("consumer_waiting", **telemetry.log_fields(error))
                await _first(stop, seconds=RETRY_S)

    async def _session(self, stop: asyncio.Event) -> None:
        self._pause.clear()
        broker = self._make_broker(next(self._urls))
        connection: AbstractConnection | None = None
        try:
            async with asyncio.timeout(START_S):
                connection = await confirmed(broker.connect(), START_S)
                await confirmed(broker.start(), START_S)
            self.is_connected = True
            log.info("consuming", queues=sorted(self._hearers))
            await self._until_over(connection, stop)
        finally:
            self.is_connected = False
            with contextlib.suppress(Exception):  # a broken link may fail to close in any way; it is dropped
                await confirmed(broker.stop(), self._settings.consumer_grace + STOP_S)
            if connection is not None:
                # A stop that was given up leaves a connection that reconnects for ever and keeps what it is sent.
                with contextlib.suppress(Exception):
                    await confirmed(connection.close(), CLOSE_S)

    async def _until_over(self, connection: AbstractConnection, stop: asyncio.Event) -> None:
        good_at = time.monotonic()
        while not (stop.is_set() or self._pause.is_set()):
            self.pulse.beat()
            self.is_connected = await self._is_heard(connection)
            if self.is_connected:
                good_at = time.monotonic()
            elif time.monotonic() - good_at > LINK_LOST_S:
                log.warning("consumer_link_lost")
                return
            await _first(stop, self._pause, seconds=LOOK_S)
        if self._pause.is_set():
            log.warning("consumer_paused", reason="database away")

    async def _is_heard(self, connection: AbstractConnection) -> bool:
        """Whether the broker answers on this connection, every queue has a consumer, and we are one.

        The library's own ping says yes until a heartbeat dies, and to a consumer that the broker has cancelled; the
        broker's count of consumers has other processes in it.
        """
        transport = connection.transport
        channels = transport.connection.channels.values() if transport is not None else ()
        if sum(len(getattr(channel, "consumers", ())) for channel in channels) < len(self._hearers):
            return False
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S), connection.channel(publisher_confirms=False) as channel:
                for name in self._hearers:
                    queue = await channel.declare_queue(name, passive=True)
                    if not queue.declaration_result.consumer_count:
                        return False
        except asyncio.CancelledError:
            if is_cancelled_by_us(asyncio.current_task()):
                raise
            return False
        except Exception:  # a dying link fails in any way
            return False
        return True

    def _make_broker(self, url: str) -> RabbitBroker:
        broker = RabbitBroker(
            with_heartbeat(url, self._settings.consumer_heartbeat),
            fail_fast=True,
            reconnect_interval=1.0,
            timeout=CONNECT_TIMEOUT_S,
            graceful_timeout=self._settings.consumer_grace,
            default_channel=Channel(on_return_raises=True),
            app_id=self._app_id,
            logger=None,
            apply_types=False,
        )
        for name, hearer in self._hearers.items():
            subscriber = broker.subscriber(
                RabbitQueue(name, declare=False),
                decoder=undecoded,
                channel=Channel(prefetch_count=self._settings.consumer_prefetch),
                ack_policy=AckPolicy.REJECT_ON_ERROR,
                no_reply=True,
            )
            subscriber(_as_handler(hearer))
        return broker


def _as_handler(hearer: QueueHearer) -> Callable[[RabbitMessage], Awaitable[None]]:
    async def handle(message: RabbitMessage) -> None:
        await hearer.hear(message)

    return handle


def _is_away(error: Exception) -> bool:
    return isinstance(error, AMQPError) or is_dependency_away(error)


async def _first(*events: asyncio.Event, seconds: float) -> None:
    """Wait for the first of the events, at most ``seconds``."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
