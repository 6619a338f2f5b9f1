"""Connections that died while idle are replaced before anyone uses them."""

import pytest
from service_chassis import database
from service_chassis.database import make_engine, ping
from service_chassis.settings import DatabaseGroup
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from .bench import Bench

END_OTHERS = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE application_name = 'idle test' AND pid <> pg_backend_pid()"
)


async def test_a_connection_that_died_while_idle_costs_nobody_anything(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(DatabaseGroup(database_url=bench.database.app_url), "idle test")
    monkeypatch.setattr(database, "TEST_AFTER_IDLE_S", 0.0)
    await ping(engine)
    assert await bench.as_admin(END_OTHERS) == 1
    await ping(engine)
    await engine.dispose()


async def test_one_that_dies_under_load_fails_its_own_transaction_only(bench: Bench) -> None:
    engine = make_engine(DatabaseGroup(database_url=bench.database.app_url), "idle test")
    async with engine.connect() as first, engine.connect() as second:
        await first.execute(text("SELECT 1"))
        await second.execute(text("SELECT 1"))
    assert await bench.as_admin(END_OTHERS) == 2
    with pytest.raises(DBAPIError):
        await ping(engine)
    await ping(engine)
    await ping(engine)
    await engine.dispose()
