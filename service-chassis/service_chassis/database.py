"""Database access: engines whose locks never outlive their owner.

Every connection carries PostgreSQL's own time limits, so that a frozen process or a lost host frees
its rows: an idle transaction is ended by the server, a dead peer is noticed by TCP keepalives.
Parameters are hidden from errors and logs (no personal data there, ever).
"""

import time
from collections.abc import Mapping
from typing import Any

import asyncpg
from sqlalchemy import MetaData, event, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from service_chassis.settings import DatabaseGroup

Sessions = async_sessionmaker[AsyncSession]

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
    """The time limits that PostgreSQL keeps for us, in its own units."""
    return {
        "application_name": application[:63],
        "statement_timeout": str(int(statement_s * 1000)),
        "idle_in_transaction_session_timeout": str(int(idle_transaction_s * 1000)),
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "2",
        "timezone": "UTC",
    }


def make_engine(settings: DatabaseGroup, application: str, *, pool_size: int | None = None) -> AsyncEngine:
    """Build the engine of one process. Nothing connects until first use."""
    url = plain_url(settings.database_url.get_secret_value())
    connect_args: dict[str, Any] = {
        "timeout": CONNECT_TIMEOUT_S,
        "command_timeout": settings.database_statement_timeout + 5,
        "server_settings": server_settings(
            application,
            statement_s=settings.database_statement_timeout,
            idle_transaction_s=settings.database_idle_transaction_timeout,
        ),
    }
    engine = create_async_engine(
        url.replace("postgresql://", "postgresql+asyncpg://", 1),
        pool_size=pool_size or settings.database_pool_size,
        max_overflow=0,
        pool_timeout=settings.database_pool_timeout,
        hide_parameters=True,
        connect_args=connect_args,
    )
    _test_idle_connections(engine)
    return engine


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


def make_sessions(engine: AsyncEngine) -> Sessions:
    """Sessions whose owner is the use case: ``async with sessions.begin() as session``."""
    return async_sessionmaker(engine, expire_on_commit=False)


async def ping(engine: AsyncEngine) -> None:
    """Ask the database for one row. Raises what the driver raises when it is away."""
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
