"""Waiting with a deadline for something to be seen."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Seen = TypeVar("Seen")


async def eventually(look: Callable[[], Awaitable[Seen]], right: Callable[[Seen], bool], within: float = 15.0) -> Seen:
    """Look until what is seen is right; give it. Fails with what was seen last."""
    deadline = time.monotonic() + within
    while True:
        seen = await look()
        if right(seen):
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not right after {within:g} s; last seen: {seen!r}")
        await asyncio.sleep(0.02)


async def until(look: Callable[[], Seen], right: Callable[[Seen], bool] = bool, within: float = 15.0) -> Seen:
    """`eventually` for what can be seen without waiting."""

    async def looking() -> Seen:
        return look()

    return await eventually(looking, right, within)
