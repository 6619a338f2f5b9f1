"""The migrated database is what the models say, on the way up, down and up again."""

import asyncio

from assignment_worker.models import metadata
from service_chassis.migrate import differences, downgrade, upgrade
from sqlalchemy import CheckConstraint, NullPool, inspect
from sqlalchemy.ext.asyncio import create_async_engine

from deploy.local.service_addresses import DatabaseAddresses

SERVICE = "assignment_worker"


def inspected(url: str, what: str) -> dict[str, set[str]]:
    async def main() -> dict[str, set[str]]:
        engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"), poolclass=NullPool)
        async with engine.connect() as connection:
            return await connection.run_sync(
                lambda sync: {
                    table: {found["name"] for found in getattr(inspect(sync), what)(table)}
                    for table in inspect(sync).get_table_names()
                }
            )

    return asyncio.run(main())


def test_models_and_migrations_agree(database: DatabaseAddresses) -> None:
    assert differences(SERVICE, database.owner_url) == []


def test_every_check_constraint_of_the_models_is_in_the_database(database: DatabaseAddresses) -> None:
    wanted = {
        table.name: {str(rule.name) for rule in table.constraints if isinstance(rule, CheckConstraint)}
        for part in metadata
        for table in part.tables.values()
    }
    found = inspected(database.owner_url, "get_check_constraints")
    assert {table: found[table] for table in wanted} == wanted


def test_up_down_and_up_again(database: DatabaseAddresses) -> None:
    downgrade(SERVICE, database.owner_url)
    assert set(inspected(database.owner_url, "get_columns")) <= {"alembic_version"}
    upgrade(SERVICE, database.owner_url)
    assert differences(SERVICE, database.owner_url) == []
