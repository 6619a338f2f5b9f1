"""Loops on a connection of asyncpg's own outlive its end, by whatever name asyncpg calls it."""

import asyncio
from collections.abc import Callable

import asyncpg
import pytest
from service_chassis import listening, relay
from service_chassis.listening import listen
from service_chassis.relay import Relay
from service_chassis.settings import RelayGroup

URL = "postgresql://nobody:x@127.0.0.1:1/none"
ENDS = [
    asyncpg.InternalClientError("got result for unknown protocol state 3"),
    asyncpg.InterfaceError("connection is closed"),
    asyncpg.AdminShutdownError("terminating connection due to administrator command"),
    ConnectionResetError(),
]


def dial(error: Exception, stop: asyncio.Event, tries: list[int]) -> Callable[..., object]:
    async def connect(*_words: object, **_names: object) -> None:
        tries.append(1)
        if len(tries) > 1:
            stop.set()
        raise error

    return connect


@pytest.mark.parametrize("error", ENDS, ids=lambda error: type(error).__name__)
async def test_a_listener_dials_again(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, tries = asyncio.Event(), list[int]()
    monkeypatch.setattr(listening, "RECONNECT_S", 0.01)
    monkeypatch.setattr(asyncpg, "connect", dial(error, stop, tries))
    async with asyncio.timeout(5):
        await listen(URL, "outbox", "test", lambda: None, stop)
    assert len(tries) == 2


@pytest.mark.parametrize("error", ENDS, ids=lambda error: type(error).__name__)
async def test_a_relay_dials_again_and_ends_when_told(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, tries = asyncio.Event(), list[int]()
    monkeypatch.setattr(relay, "RECONNECT_S", 0.01)
    monkeypatch.setattr(asyncpg, "connect", dial(error, stop, tries))
    async with asyncio.timeout(5):
        await Relay(URL, "amqp://127.0.0.1:1/", RelayGroup(relay_lanes=1), "test").run(stop)
    assert len(tries) >= 2
