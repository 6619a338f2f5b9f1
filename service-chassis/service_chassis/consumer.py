"""Consuming: FastStream on a broker connection of its own, started only while the database answers.

A session is one `RabbitBroker` from start to stop. It ends when the process stops, when a handler found
the database away, or when the broker link is gone for good; the next session begins on the next node
once the database answers. Ending the session gives every message in flight back to the broker, so
nothing is held by a process that cannot work.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Sequence

import structlog
from aio_pika.exceptions import AMQPError
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitMessage, RabbitQueue

from service_chassis import telemetry
from service_chassis.broker_link import broker_urls, with_heartbeat
from service_chassis.database import Sessions
from service_chassis.hearing import QueueHearer, Subscription
from service_chassis.settings import ConsumerGroup
from service_chassis.topology import declare_once
from service_chassis.transient import is_dependency_away

log = structlog.get_logger(__name__)

Probe = Callable[[], Awaitable[None]]
"""Returns when the database answers, raises what its driver raises when it does not."""

RETRY_S = 1.0
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
        self._urls = itertools.cycle(broker_urls(amqp_urls))
        self._amqp_urls = amqp_urls
        self._settings = settings
        self._probe = probe
        self._app_id = app_id
        self._pause = asyncio.Event()
        self._hearers = {
            subscription.queue.name: QueueHearer(subscription, sessions, settings, self._pause.set)
            for subscription in subscriptions
        }
        self.is_connected = False

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until ``stop``, through every outage of database and broker."""
        away: str | None = None
        while not stop.is_set():
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
        try:
            async with asyncio.timeout(10):
                await broker.start()
            self.is_connected = True
            log.info("consuming", queues=sorted(self._hearers))
            await self._until_over(broker, stop)
        finally:
            self.is_connected = False
            with contextlib.suppress(Exception):  # a broken link may fail to close in any way; it is dropped
                async with asyncio.timeout(self._settings.consumer_grace + 5):
                    await broker.stop()

    async def _until_over(self, broker: RabbitBroker, stop: asyncio.Event) -> None:
        lost_for = 0.0
        while not (stop.is_set() or self._pause.is_set()):
            self.is_connected = await broker.ping(timeout=0.5)
            lost_for = 0.0 if self.is_connected else lost_for + 1.5
            if lost_for > LINK_LOST_S:
                log.warning("consumer_link_lost")
                return
            await _first(stop, self._pause, seconds=1.0)
        if self._pause.is_set():
            log.warning("consumer_paused", reason="database away")

    def _make_broker(self, url: str) -> RabbitBroker:
        broker = RabbitBroker(
            with_heartbeat(url, self._settings.consumer_heartbeat),
            fail_fast=True,
            reconnect_interval=1.0,
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
