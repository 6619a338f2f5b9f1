"""What several scenarios look at."""

import asyncio
from collections.abc import Iterable

import httpx

from chaos.members import Member
from chaos.run import Run


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
