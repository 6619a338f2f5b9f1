"""Fresh databases for each test, built by the real migrations, and engines of their own as several processes have."""

from collections.abc import AsyncIterator, Callable

import pytest
from pydantic import SecretStr
from service_chassis.database import Sessions, make_engine, make_sessions
from service_chassis.settings import DatabaseGroup

from deploy.local.service_addresses import DatabaseAddresses
from deploy.local.testing import MigratedDatabase

from .bench import Bench


@pytest.fixture
def database(migrated_database: MigratedDatabase) -> DatabaseAddresses:
    return migrated_database("assignment_worker")


@pytest.fixture
async def new_sessions(database: DatabaseAddresses) -> AsyncIterator[Callable[[], Sessions]]:
    """Each call gives sessions on an engine of their own, like another process."""
    engines = []

    def make() -> Sessions:
        engine = make_engine(DatabaseGroup(database_url=SecretStr(database.app_url)), "test")
        engines.append(engine)
        return make_sessions(engine)

    yield make
    for engine in engines:
        await engine.dispose()


@pytest.fixture
def bench(new_sessions: Callable[[], Sessions], database: DatabaseAddresses) -> Bench:
    return Bench(new_sessions(), new_sessions, database)
