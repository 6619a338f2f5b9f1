"""Database access: engines whose locks never outlive their owner.

Every connection carries PostgreSQL's own time limits, so that a frozen process or a lost host frees
its rows: an idle transaction is ended by the server, a dead peer is noticed by TCP keepalives.
Parameters are hidden from errors and logs (no personal data there, ever).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import MetaData, event, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from service_chassis.postgres_link import (
    KEEPALIVE_IDLE_S,
    KEEPALIVE_INTERVAL_S,
    KEEPALIVE_PROBES,
    TRANSACTION_S,
    BoundedConnection,
    limit_transactions,
)
from service_chassis.settings import DatabaseGroup

CONNECT_TIMEOUT_S = 5.0

LINK_ERRORS = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # What asyncpg says, more often than not, on a connection that the server has just ended.
    asyncpg.InternalClientError,
)
"""Whatever a connection of asyncpg's own can fail with: it is thrown away, and another one dialled."""
TEST_AFTER_IDLE_S = 1.0
_IDLE_SINCE = "idle_since"

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

chassis_metadata = MetaData(naming_convention=NAMING_CONVENTION)
"""The tables that every service has: outbox, inbox, failures, delivery marks."""


def plain_url(url: str) -> str:
    """The URL without a driver name, as asyncpg and psql take it."""
    return url.replace("postgresql+asyncpg://", "postgresql://", 1)


def server_settings(application: str, *, statement_s: float, idle_transaction_s: float) -> Mapping[str, str]:
    """The time limits that PostgreSQL keeps for us, in its own units.

    A wait for a lock ends before its statement would: its SQLSTATE (55P03) says that another transaction is in the
    way, where 57014 would blame the statement.
    """
    return {
        "application_name": application[:63],
        "statement_timeout": str(int(statement_s * 1000)),
        "lock_timeout": str(int(statement_s * 800)),
        "idle_in_transaction_session_timeout": str(int(idle_transaction_s * 1000)),
        "tcp_keepalives_idle": str(KEEPALIVE_IDLE_S),
        "tcp_keepalives_interval": str(KEEPALIVE_INTERVAL_S),
        "tcp_keepalives_count": str(KEEPALIVE_PROBES),
        "timezone": "UTC",
    }


def engine_at(url: str, connect_options: Mapping[str, Any] | None = None, **pool_options: Any) -> AsyncEngine:
    """Build an engine whose connections the driver dials by the URL as it is.

    SQLAlchemy would hand the URL's options on as arguments, and the driver knows ``sslmode`` only from a URL.
    """

    async def dial() -> asyncpg.Connection:
        return await asyncpg.connect(plain_url(url), **(connect_options or {}))

    return create_async_engine("postgresql+asyncpg://", async_creator=dial, hide_parameters=True, **pool_options)


def make_engine(settings: DatabaseGroup, application: str, *, pool_size: int | None = None) -> AsyncEngine:
    """Build the engine of one process. Nothing connects until first use."""
    engine = engine_at(
        settings.database_url.get_secret_value(),
        {
            "timeout": CONNECT_TIMEOUT_S,
            "command_timeout": settings.database_statement_timeout + 5,
            "connection_class": BoundedConnection,
            "server_settings": server_settings(
                application,
                statement_s=settings.database_statement_timeout,
                idle_transaction_s=settings.database_idle_transaction_timeout,
            ),
        },
        pool_size=pool_size or settings.database_pool_size,
        max_overflow=0,
        pool_timeout=settings.database_pool_timeout,
    )
    _limit_transactions(engine)
    _test_idle_connections(engine)
    return engine


async def connect(url: str, application: str, *, command_s: float, idle_transaction_s: float) -> asyncpg.Connection:
    """Dial a connection outside any pool, with the same limits. Raises one of `LINK_ERRORS`."""
    connection = await asyncpg.connect(
        plain_url(url),
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=command_s,
        connection_class=BoundedConnection,
        server_settings=dict(server_settings(application, statement_s=10, idle_transaction_s=idle_transaction_s)),
    )
    try:
        await limit_transactions(connection)
    except BaseException:
        connection.terminate()
        raise
    return connection


def _limit_transactions(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def limit(connection: Any, _record: Any) -> None:
        connection.run_async(limit_transactions)


def _test_idle_connections(engine: AsyncEngine) -> None:
    """Have a connection that was idle for a while answer before it is used; a dead one is replaced.

    A database that was restarted at night costs the first visitor nothing. Busy connections are not asked
    (SQLAlchemy's pre-ping asks each time, three round trips): one that dies under load fails its own
    transaction, and the pool then drops its contemporaries.
    """

    @event.listens_for(engine.sync_engine, "checkin")
    def note_idle(_connection: Any, record: Any) -> None:
        record.info[_IDLE_SINCE] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def ask_idle(connection: Any, record: Any, proxy: Any) -> None:
        idle_since = record.info.get(_IDLE_SINCE)
        if idle_since is None or time.monotonic() - idle_since < TEST_AFTER_IDLE_S:
            return
        try:
            connection.run_async(lambda driver: driver.execute("SELECT 1", timeout=CONNECT_TIMEOUT_S))
        except Exception as error:  # whatever is wrong with it, another one is tried
            raise DisconnectionError from error


class Sessions(async_sessionmaker[AsyncSession]):
    """Makes sessions whose transactions are over within ``limit`` seconds, come what may of the link.

    The library sees COMMIT and ROLLBACK to their end even when their caller is cancelled: on a silent link nothing
    but the driver's own limits would end that. So the link itself is cut.
    """

    limit = TRANSACTION_S

    # The base returns a class of its own; nobody uses more of it than that it is a context manager.
    def begin(self) -> AbstractAsyncContextManager[AsyncSession]:  # type: ignore[override]
        """One transaction: committed at the end of the block, rolled back by an error.

        Raises TimeoutError, or what the driver says of a link that was cut, when it takes longer than ``limit``.
        """
        return self._begin()

    @asynccontextmanager
    async def _begin(self) -> AsyncIterator[AsyncSession]:
        link: asyncpg.Connection | None = None

        def note(_session: Any, _transaction: Any, connection: Any) -> None:
            nonlocal link
            link = connection.connection.driver_connection

        def cut() -> None:
            if link is not None:
                link.terminate()

        session = self()
        event.listen(session.sync_session, "after_begin", note)
        timer = asyncio.get_running_loop().call_later(self.limit, cut)
        try:
            async with asyncio.timeout(self.limit), session, session.begin():
                yield session
        finally:
            timer.cancel()


def make_sessions(engine: AsyncEngine, limit: float = TRANSACTION_S) -> Sessions:
    """Sessions whose owner is the use case: ``async with sessions.begin() as session``."""
    sessions = Sessions(engine, expire_on_commit=False)
    sessions.limit = limit
    return sessions


async def ping(engine: AsyncEngine) -> None:
    """Ask the database for one row. Raises what the driver raises when it is away."""
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
