"""What several scenarios look at."""

import asyncio
import stat
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import httpx
from e2e import broker
from e2e.eventually import eventually

from chaos.home import HEARTBEAT_S
from chaos.members import Member
from chaos.run import Run, VoidRunError


async def unfinished(run: Run) -> int:
    """Leads of this run that are not reached yet."""
    count: int = await run.fetch_value(
        "intake",
        "SELECT count(*) FROM leads WHERE created_at >= $1 AND status <> 'reached_out'",
        run.scenario.since,
    )
    return count


async def idle_transactions(run: Run, database: str, last_query: str = "%") -> int:
    """Transactions that have written something and wait for their client's next word."""
    count: int = await run.fetch_value(
        database,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL"
        " AND state = 'idle in transaction' AND query LIKE $1",
        last_query,
    )
    return count


async def probe(members: Iterable[Member], path: str) -> list[int]:
    """What the members' ops ports answer; 0 for nothing."""

    async def ask(member: Member) -> int:
        try:
            return (await client.get(member.ops_url + path)).status_code
        except httpx.TransportError:
            return 0

    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
        return list(await asyncio.gather(*(ask(member) for member in members)))


async def metric(members: Iterable[Member], name: str) -> list[float]:
    """A figure of each member: the sum of its samples over all labels."""
    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
        pages = [(await client.get(f"{member.ops_url}/metrics")).text.splitlines() for member in members]
    samples = (name + " ", name + "{")
    return [sum(float(line.split()[-1]) for line in page if line.startswith(samples)) for page in pages]


def temporary_bytes(member: Member) -> int:
    """Bytes of a process in files without a name, which only Linux's /proc shows."""
    total = 0
    for descriptor in Path(f"/proc/{member.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found = descriptor.stat()
            total += found.st_size if stat.S_ISREG(found.st_mode) and not found.st_nlink else 0
    return total


async def given_up(run: Run, links: set[int], began: float) -> float:
    """Wait until the broker has dropped some links, which takes it two heartbeats; give the seconds since ``began``."""
    if not links:
        raise VoidRunError("there was no link to the broker")

    async def held() -> set[int]:
        rows = await broker.management(run.stack, "/api/connections?columns=peer_port")
        return links & {row.get("peer_port", 0) for row in rows}

    await eventually(held, lambda left: not left, within=60, every=0.5, what="the broker has dropped the links")
    seconds = time.monotonic() - began
    if seconds < 2 * HEARTBEAT_S:
        raise VoidRunError(f"the links were given up after {seconds:.1f} s, before two heartbeats")
    return round(seconds, 1)
