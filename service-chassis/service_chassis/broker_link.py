"""Plain connections to the broker, dialled node by node.

The publishing link is thrown away, not repaired, after any nack, timeout or lost connection: a channel
opened while a quorum queue elects its leader is nacked for as long as the dead node stays away, though
a fresh one gets confirms at once. And it is never trusted to fail in one way: a dying connection cancels
whoever waits on it with a bare CancelledError, which would end the waiting task as if we had stopped it.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable
from typing import Final, TypedDict, TypeVar

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection

from service_chassis.transient import is_cancelled_by_us

Answer = TypeVar("Answer")

CONNECT_TIMEOUT_S = 5.0
HEARTBEAT_S = 10


class ChannelOptions(TypedDict):
    """Options of a channel that publishes."""

    publisher_confirms: bool
    on_return_raises: bool


PUBLISHER_CHANNEL: Final[ChannelOptions] = {"publisher_confirms": True, "on_return_raises": True}


def broker_urls(urls: str) -> list[str]:
    """The nodes named by an ``AMQP_URL`` (comma-separated). Raises ValueError when there is none."""
    found = [url.strip() for url in urls.split(",") if url.strip()]
    if not found:
        raise ValueError("AMQP_URL names no broker")
    return found


def with_heartbeat(url: str, seconds: int) -> str:
    """The URL with an AMQP heartbeat, unless it names one itself."""
    if "heartbeat=" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}heartbeat={seconds}"


async def connect(url: str) -> AbstractConnection:
    """Dial one node within `CONNECT_TIMEOUT_S`."""
    return await confirmed(aio_pika.connect(with_heartbeat(url, HEARTBEAT_S)), CONNECT_TIMEOUT_S)


class PublishingLink:
    """One confirming channel to the first node that answers.

    ``on_open`` runs on each new channel before it is used (it declares the topology).
    """

    def __init__(self, urls: str, on_open: Callable[[AbstractChannel], Awaitable[None]]) -> None:
        self._urls = itertools.cycle(broker_urls(urls))
        self._on_open = on_open
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None

    @property
    def is_open(self) -> bool:
        """Whether the link can publish, as far as anyone knows."""
        return (
            self._connection is not None
            and not self._connection.is_closed
            and self._channel is not None
            and not self._channel.is_closed
        )

    async def channel(self) -> AbstractChannel:
        """The open channel, dialling the next node when there is none."""
        if not self.is_open:
            await self.drop()
            self._connection = await connect(next(self._urls))
            channel = await confirmed(self._connection.channel(**PUBLISHER_CHANNEL), CONNECT_TIMEOUT_S)
            await self._opened(channel)
            self._channel = channel
        assert self._channel is not None  # noqa: S101 - set two lines above, or is_open
        return self._channel

    async def refresh(self) -> None:
        """Run ``on_open`` again on the open channel."""
        if self._channel is not None:
            await self._opened(self._channel)

    async def _opened(self, channel: AbstractChannel) -> None:
        await confirmed(self._on_open(channel), CONNECT_TIMEOUT_S * 2)

    async def drop(self) -> None:
        """Throw the connection away. Never raises: what is thrown away may be broken in any way."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None and not connection.is_closed:
            with contextlib.suppress(Exception):  # a broken link may fail to close in any way
                await confirmed(connection.close(), 1)


async def confirmed(step: Awaitable[Answer], seconds: float) -> Answer:
    """Give the broker's answer to a publish, or to any other step on a link, within ``seconds``.

    A dying link cancels what is pending with a bare CancelledError; that is a lost link, not a cancel.
    Raises ConnectionError then, TimeoutError (outcome unknown), or what aio-pika raises.
    """
    try:
        async with asyncio.timeout(seconds):
            return await step
    except asyncio.CancelledError as error:
        if is_cancelled_by_us(asyncio.current_task()):
            raise
        raise ConnectionError("the broker link was lost") from error
