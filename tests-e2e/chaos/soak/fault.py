"""What a fault of a soak is, what it has in hand, and how it tells that it hit work.

A fault is planned from random numbers, says what it touches, and heals only what it broke. It has landed when it hit
work: a trap that sprang, an attempt interrupted, leads on their way. Else it is void.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import asyncpg
import httpx
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import AMQPError
from e2e.eventually import PATIENCE, eventually

from chaos.arena import Arena
from chaos.fault_proxy import Trap
from chaos.members import WORKERS, Kind
from chaos.run import Run
from chaos.scenarios.seen import unfinished
from chaos.scripted_smtp import Step
from deploy.local.service import Service

KINDS: tuple[Kind, ...] = ("intake-api", *WORKERS)
LANDS_WITHIN = 10.0
"""How long a fault waits for work to hit before it is void: no verdict on the product hangs on it."""

AWAY = (
    *(AssertionError, OSError, TimeoutError, httpx.HTTPError),
    *(asyncpg.PostgresError, asyncpg.InterfaceError, AMQPError),
)
"""What it looks like from here when another fault has hit what is asked."""


class Field(Protocol):
    """What a fault has in hand."""

    run: Run
    scripts: list[list[Step]]
    """Scripts for the mail of the next prospects, one each."""
    unbound: list[tuple[float, float]]
    """When a binding that one of two hearers needs was away: database time, seconds."""
    heard: list[AbstractIncomingMessage]
    """Events that were overheard on the exchange: what old ones are said again from."""
    repeated: set[str]
    """Ids of events that were said again by us, which are not said again once more."""
    twice: set[str]
    """Addresses of prospects who post from two windows at once."""

    @property
    def arena(self) -> Arena: ...

    async def look(self, ask: Callable[[], Awaitable[int]]) -> int:
        """Ask until there is an answer: another fault may have hit what is asked."""


Body = Callable[[Field], Awaitable[bool]]


@dataclass(frozen=True)
class Fault:
    """One planned fault: its kind in the table, what exactly, and the parts that nobody else may touch meanwhile."""

    kind: str
    words: str
    touches: frozenset[str]
    body: Body
    """Gives whether it landed."""


Planner = Callable[[random.Random], Fault]


async def at_work(field: Field) -> int:
    """Requests without an answer, and leads that are not reached."""
    return field.run.scenario.log.in_flight + await field.look(lambda: unfinished(field.run))


async def sprung(field: Field, trap: Trap) -> bool:
    """Wait for a trap a while, and take it away."""
    try:
        async with asyncio.timeout(LANDS_WITHIN * PATIENCE):
            await trap.hit.wait()
    except TimeoutError:
        pass  # void: the caller says so
    finally:
        field.arena.lift(trap)
    return trap.at is not None


async def is_back(service: Service) -> None:
    """Wait until a service that crashed runs and answers again."""

    async def up() -> bool:
        return await asyncio.to_thread(lambda: service.exit_status() is None and service.is_ready())

    await eventually(up, within=300, what=f"{service.name} is back")
