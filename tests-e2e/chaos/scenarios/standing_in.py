"""Processes with composition roots of the tests' own, in place of the product's."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from chaos.members import Kind, Member, OwnRoot
from chaos.run import Run


@asynccontextmanager
async def stand_ins(run: Run, roots: Mapping[Kind, Sequence[OwnRoot]]) -> AsyncIterator[list[Member]]:
    """One process for each root, and none of the product's of these kinds, which come back afterwards."""
    product = run.arena.of(*roots)
    await asyncio.gather(*(run.arena.take_down(member.service) for member in product))
    added: list[Member] = []

    async def start(kind: Kind) -> None:
        for root in roots[kind]:
            added.extend(await run.arena.add(kind, 1, root))

    try:
        await asyncio.gather(*(start(kind) for kind in roots))
        yield added
    finally:
        for member in added:
            await run.arena.take_down(member.service)
            await run.arena.dismiss(member)
        await asyncio.gather(*(run.arena.bring_up(member.service) for member in product))
