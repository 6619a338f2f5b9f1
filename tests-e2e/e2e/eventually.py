"""Waiting for something to become true: polls to a deadline, and says what it last saw when it gives up."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Seen = TypeVar("Seen")

PATIENCE = float(os.environ.get("E2E_PATIENCE", "1"))
"""Stretches every deadline, for a machine that does much else."""


async def eventually(
    look: Callable[[], Awaitable[Seen]],
    until: Callable[[Seen], bool] = bool,
    *,
    within: float = 20.0,
    every: float = 0.1,
    what: str = "",
) -> Seen:
    """Look again and again until ``until`` likes what is seen, and give it.

    An AssertionError while looking counts as not yet. Past ``within`` seconds: AssertionError with the last sight.
    """
    began = time.monotonic()
    ends = began + within * PATIENCE
    while True:
        last: object
        try:
            last = seen = await look()
            if until(seen):
                return seen
        except AssertionError as error:
            last = error
        if time.monotonic() >= ends:
            name = what or getattr(until, "__name__", "it")
            raise AssertionError(f"not within {within * PATIENCE:g} s: {name}; last seen: {last!r}")
        await asyncio.sleep(every)
