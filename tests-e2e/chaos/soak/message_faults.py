"""Messages that nobody can read, events that are said again, and events in another order."""

import asyncio
import random
import time
import uuid
from collections.abc import Sequence

import aio_pika
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage
from e2e import broker
from e2e.eventually import eventually

from chaos.members import Kind
from chaos.scenarios.messages import EXCHANGE, channel_of, copy_of, take_all
from chaos.soak.fault import LANDS_WITHIN, Fault, Field, Planner
from chaos.soak.process_faults import away

_HEARERS: tuple[tuple[str, Kind, str], ...] = (
    ("assignment.leads", "assignment-worker", "lead.registered.v1"),
    ("mailer.outreach", "mailer-worker", "lead.assigned.v1"),
    ("intake.lead-status", "intake-worker", "lead.reached-out.v1"),
)
_LARGE = 5 * 1024 * 1024
_REMEMBERED = 2000
_OLD_AT_ONCE = 40
_AT_LEAST = 3
_CONFIRM_WITHIN = 60.0
_OF_THE_BROKER = ("x-death", "x-delivery-count", "x-first-death-")


def _poison(chance: random.Random) -> Fault:
    queue, _, known = chance.choice(_HEARERS)
    type_, content = chance.choice(
        (
            (known, b"{no json"),
            (known, b"{}"),
            (known, b"x" * 65536),
            ("nobody.knows.v1", b"{}"),
            (known.replace(".v1", ".v99"), b"{}"),
        )
    )
    return _poisoned("poison", queue, type_, content)


def _large_poison(chance: random.Random) -> Fault:
    queue, _, known = chance.choice(_HEARERS)
    return _poisoned("poison of 5 MB", queue, known, b"x" * _LARGE)


def _poisoned(kind: str, queue: str, type_: str, content: bytes) -> Fault:
    """Published until it is confirmed: with one id it is one dead letter, however often that takes."""
    message = aio_pika.Message(
        content,
        message_id=str(uuid.uuid4()),
        type=type_,
        app_id="chaos",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )

    async def body(field: Field) -> bool:
        async def published() -> int:
            async with channel_of(field.run) as channel, asyncio.timeout(_CONFIRM_WITHIN):
                await channel.default_exchange.publish(message, queue)
            return 1

        field.run.poisoned.add(str(message.message_id))
        return await field.look(published) > 0

    return Fault(kind, f"{type_} of {len(content)} bytes to {queue}", frozenset({"broker"}), body)


def _said_again(chance: random.Random) -> Fault:
    times, seconds = chance.randrange(1, 5), chance.uniform(4, 10)

    async def body(field: Field) -> bool:
        again = 0
        async with channel_of(field.run) as channel:
            exchange = await channel.get_exchange(EXCHANGE, ensure=False)
            copies = await channel.declare_queue(exclusive=True)
            await copies.bind(EXCHANGE, "#")
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                message = await copies.get(no_ack=True, fail=False)
                if message is None:
                    await asyncio.sleep(0.05)  # nothing was said since
                elif _is_first_of_its_kind(field, message):
                    again += await _say(field, exchange, [message] * times, fresh=chance.random() < _FRESH)
        return again > 0

    return Fault("events said again", f"{times} times, for {seconds:.1f} s", frozenset({"broker"}), body)


_FRESH = 0.25
"""How many of them also come as another event that says the same (docs/design.md: "Repeat")."""


def _is_first_of_its_kind(field: Field, message: AbstractIncomingMessage) -> bool:
    """Whether it is neither a copy of ours nor one that was copied; it is remembered then."""
    name = message.message_id or ""
    if name in field.repeated:
        return False
    field.repeated.add(name)
    field.heard.append(message)
    del field.heard[:-_REMEMBERED]
    return True


async def _say(
    field: Field, exchange: AbstractExchange, messages: Sequence[AbstractIncomingMessage], *, fresh: bool
) -> int:
    """Publish copies at once, the last one perhaps with an id of its own; give how many."""
    copies = [(copy_of(message), message.routing_key or "") for message in messages]
    if fresh:
        copies[-1][0].message_id = str(uuid.uuid4())
        field.repeated.add(copies[-1][0].message_id)
    await asyncio.gather(*(exchange.publish(copy, key) for copy, key in copies))
    return len(copies)


def _old_ones_said_again(chance: random.Random) -> Fault:
    async def body(field: Field) -> bool:
        old = chance.sample(field.heard, min(_OLD_AT_ONCE, len(field.heard)))
        if not old:
            return False
        async with channel_of(field.run) as channel:
            exchange = await channel.get_exchange(EXCHANGE, ensure=False)
            for message in old:
                await _say(field, exchange, [message], fresh=chance.random() < _FRESH)
        return True

    return Fault("old events said again", f"up to {_OLD_AT_ONCE}", frozenset({"broker"}), body)


def _in_another_order(chance: random.Random) -> Fault:
    queue, hearer, _ = chance.choice(_HEARERS[:2])  # with intake's worker away nobody says much to it

    async def body(field: Field) -> bool:
        async def waiting() -> int:
            return (await broker.queues(field.run.stack))[f"{queue} ready"]

        async with away(field, field.arena.of(hearer)), channel_of(field.run) as channel:
            try:
                await eventually(waiting, lambda count: count >= _AT_LEAST, within=2 * LANDS_WITHIN)
            except AssertionError:
                return False
            taken = await take_all(channel, queue)
            chance.shuffle(taken)
            for message in taken:
                copy = copy_of(message)
                copy.headers = {
                    name: value for name, value in copy.headers.items() if not name.startswith(_OF_THE_BROKER)
                }
                await channel.default_exchange.publish(copy, queue)
                await message.ack()
        return len(taken) >= _AT_LEAST

    return Fault("events in another order", queue, frozenset({"broker", hearer}), body)


PLANNERS: tuple[Planner, ...] = (*(_poison, _large_poison, _said_again, _old_ones_said_again, _in_another_order),)
