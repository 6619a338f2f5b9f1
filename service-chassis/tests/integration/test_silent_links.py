"""A database link that falls silent, at any step, holds up nobody for longer than the bound, and heals."""

import asyncio
import socket
import time

import pytest
from service_chassis import listening
from service_chassis.database import connect, make_engine, make_sessions, ping
from service_chassis.listening import listen
from service_chassis.postgres_link import (
    FIRST_WITH_TRANSACTION_TIMEOUT,
    TRANSACTION_S,
    UNACKNOWLEDGED_S,
    limit_transactions,
)
from service_chassis.settings import DatabaseGroup
from service_chassis.transient import is_dependency_away
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from .bench import Bench
from .fault_proxy import proxied
from .waiting import eventually, until

LIMIT_S = 1.0
PARTING_S = 3.0
"""The library parts politely from a connection that it gives up, for two seconds."""


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (b"BEGIN", b"BEGIN"),
        (b"silent statement", b"INSERT 0 1"),
        (b"COMMIT;", b"COMMIT"),
        (b"ROLLBACK;", b"ROLLBACK"),
    ],
    ids=["begin", "statement", "commit", "rollback"],
)
@pytest.mark.parametrize("side", ["asked", "answered"])
async def test_a_transaction_on_a_silent_link_ends_within_the_bound_and_the_pool_heals(
    bench: Bench, asked: bytes, answered: bytes, side: str
) -> None:
    async with proxied(bench.database.app_url) as hop:
        engine = make_engine(DatabaseGroup(database_url=hop.url), "test", pool_size=2)
        sessions = make_sessions(engine, LIMIT_S)

        async def turn() -> None:
            async with sessions.begin() as session:
                await session.execute(text("INSERT INTO effects (note) VALUES ('silent statement')"))
                if asked == b"ROLLBACK;":
                    raise ValueError

        await ping(engine)
        hop.arm("sent" if side == "asked" else "answered", asked if side == "asked" else answered)
        began = time.monotonic()
        with pytest.raises((TimeoutError, DBAPIError)) as seen:
            await turn()
        assert is_dependency_away(seen.value)
        assert hop.hit.is_set()
        assert time.monotonic() - began < LIMIT_S + PARTING_S
        hop.heal()
        await until(engine.sync_engine.pool.checkedout, lambda count: count == 0, within=20)  # type: ignore[attr-defined]
        healthy = make_sessions(engine)
        async with asyncio.timeout(5), healthy.begin() as session:
            assert (await session.execute(text("SELECT 1"))).scalar_one() == 1
        await engine.dispose()


async def test_the_kernel_gives_up_a_silent_peer_on_pooled_and_other_connections(bench: Bench) -> None:
    engine = make_engine(DatabaseGroup(database_url=bench.database.app_url), "test")
    other = await connect(bench.database.app_url, "test", command_s=5, idle_transaction_s=5)
    async with engine.connect() as pooled:
        driver = (await pooled.get_raw_connection()).driver_connection
        for connection in (driver, other):
            assert connection is not None
            link = connection._transport.get_extra_info("socket")
            assert link.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                assert link.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == UNACKNOWLEDGED_S * 1000
            if connection.get_server_version().major >= FIRST_WITH_TRANSACTION_TIMEOUT:
                shown = await connection.fetchval("SELECT setting FROM pg_settings WHERE name = 'transaction_timeout'")
                assert float(shown) == TRANSACTION_S * 1000
    await other.close()
    await engine.dispose()


async def test_a_client_frozen_between_parse_and_sync_loses_its_locks(bench: Bench) -> None:
    """There PostgreSQL's idle timeout does not hold; before version 17 nothing does, and the statement says so."""
    frozen = await connect(bench.database.app_url, "test", command_s=5, idle_transaction_s=0.5)
    await limit_transactions(frozen, 1.0)
    await frozen.execute("BEGIN")
    await frozen.execute("SELECT pg_advisory_xact_lock(4711)")
    await frozen.prepare("SELECT 42")
    ends = frozen.get_server_version().major >= FIRST_WITH_TRANSACTION_TIMEOUT

    async def is_free() -> bool:
        return bool(await bench.sql.fetchval("SELECT pg_try_advisory_xact_lock(4711)"))

    if ends:
        await eventually(is_free, bool, within=5)
    else:
        assert not await is_free()
    frozen.terminate()


async def test_a_listener_notices_a_silent_link_and_dials_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("ASK_S", 0.1), ("RECONNECT_S", 0.1), ("CONNECT_TIMEOUT_S", 0.5)):
        monkeypatch.setattr(listening, name, seconds)
    stop, woken = asyncio.Event(), asyncio.Event()
    async with proxied(bench.database.app_url) as hop:
        task = asyncio.create_task(listen(hop.url, "silence", "test", woken.set, stop))
        await asyncio.wait_for(woken.wait(), 10)
        hop.freeze()
        dialled = hop.accepted
        await until(lambda: hop.accepted, lambda accepted: accepted > dialled + 1)
        woken.clear()
        hop.heal()

        async def heard() -> bool:
            await bench.sql.execute("NOTIFY silence")
            return woken.is_set()

        await eventually(heard, bool)
        stop.set()
        await asyncio.wait_for(task, 10)
