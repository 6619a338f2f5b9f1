"""A dying link cancels whoever waits on it; that must look like a lost link, and never like our own stop."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import aio_pika
import pytest
from faststream.rabbit import RabbitBroker
from service_chassis.broker_link import PublishingLink
from service_chassis.consumer import Consumer
from service_chassis.database import Sessions
from service_chassis.settings import ConsumerGroup
from service_chassis.topology import declare_once

URL = "amqp://nobody:x@127.0.0.1:1/"


async def dies(*_words: object, **_names: object) -> Any:
    raise asyncio.CancelledError


async def hangs(*_words: object, **_names: object) -> Any:
    await asyncio.Event().wait()


def answers(value: object) -> Callable[..., Awaitable[Any]]:
    async def answer(*_words: object, **_names: object) -> Any:
        return value

    return answer


CHANNEL = SimpleNamespace(is_closed=False)


def link(monkeypatch: pytest.MonkeyPatch, **steps: Any) -> PublishingLink:
    """A link on a connection that does as told, step by step; whatever is not named works."""
    connection = SimpleNamespace(
        is_closed=False,
        channel=steps.get("channel", answers(CHANNEL)),
        close=steps.get("close", answers(None)),
    )
    monkeypatch.setattr(aio_pika, "connect", steps.get("connect", answers(connection)))
    return PublishingLink(URL, steps.get("on_open", answers(None)))


@pytest.mark.parametrize("step", ["connect", "channel", "on_open"])
async def test_a_link_that_dies_while_it_is_opened_is_a_lost_link(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConnectionError):
        await link(monkeypatch, **{step: dies}).channel()


async def test_a_link_that_dies_while_the_topology_is_declared_again_is_a_lost_link(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = iter([answers(None), dies])

    async def on_open(channel: object) -> None:
        await next(steps)(channel)

    opened = link(monkeypatch, on_open=on_open)
    await opened.channel()
    with pytest.raises(ConnectionError):
        await opened.refresh()


async def test_dropping_a_link_that_dies_of_it_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = link(monkeypatch, close=dies)
    await opened.channel()
    await opened.drop()
    assert not opened.is_open


@pytest.mark.parametrize("step", ["connect", "channel", "close"])
async def test_a_link_that_dies_while_the_topology_is_declared_is_a_lost_link(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service_chassis.topology.declare", answers(None))
    link(monkeypatch, **{step: dies})
    with pytest.raises(ConnectionError, match="no RabbitMQ node answered"):
        await declare_once(URL)


@pytest.mark.parametrize("step", ["connect", "start", "stop", "close"])
async def test_a_link_that_dies_under_a_session_does_not_end_the_consumer(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, reached = asyncio.Event(), []

    async def dies_and_stops(*_words: object, **_names: object) -> Any:
        reached.append(step)
        stop.set()
        raise asyncio.CancelledError

    async def stops(*_words: object, **_names: object) -> None:
        stop.set()

    connection = SimpleNamespace(close=dies_and_stops if step == "close" else answers(None))
    steps = {"connect": answers(connection), "start": stops, "stop": answers(None), step: dies_and_stops}
    for name in ("connect", "start", "stop"):
        monkeypatch.setattr(RabbitBroker, name, steps[name])
    monkeypatch.setattr("service_chassis.consumer.declare_once", answers(None))
    await Consumer(URL, [], cast(Sessions, None), ConsumerGroup(), answers(None), "test").run(stop)
    assert reached == [step]


@pytest.mark.parametrize("step", ["connect", "channel", "on_open"])
async def test_our_own_cancel_stays_one(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = asyncio.create_task(link(monkeypatch, **{step: hangs}).channel())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
