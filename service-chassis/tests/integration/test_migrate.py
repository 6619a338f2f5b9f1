"""Migrations go up, down and up again, agree with the models, and may be started twice."""

import asyncio
import importlib.util
from pathlib import Path
from typing import get_args

import asyncpg
import pytest
from service_chassis.migrate import PREFIXES, differences, downgrade, main, upgrade

from deploy.local.service_addresses import ServiceName
from deploy.local.testing import MigratedDatabase

SERVICES: tuple[ServiceName, ...] = get_args(ServiceName)
CHASSIS = {"outbox", "inbox", "failures", "delivery_marks"}


def tables(url: str) -> set[str]:
    async def look() -> set[str]:
        connection = await asyncpg.connect(url)
        try:
            rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        finally:
            await connection.close()
        return {row["tablename"] for row in rows}

    return asyncio.run(look())


def execute(url: str, statement: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


def test_every_service_is_known() -> None:
    assert set(PREFIXES) == set(SERVICES)
    for service in SERVICES:
        spec = importlib.util.find_spec(service)
        assert spec is not None
        assert spec.origin is not None
        assert list((Path(spec.origin).parent / "migrations" / "versions").glob("*.py")), service


@pytest.mark.parametrize("service", SERVICES)
def test_models_and_migrations_agree_after_up_down_and_up(
    service: ServiceName, migrated_database: MigratedDatabase
) -> None:
    url = migrated_database(service).owner_url
    assert differences(service, url) == []
    before = tables(url)
    assert before >= CHASSIS
    downgrade(service, url)
    assert tables(url) == {"alembic_version"}
    upgrade(service, url)
    assert tables(url) == before
    assert differences(service, url) == []
    upgrade(service, url)


@pytest.mark.parametrize(
    "planted",
    [
        "ALTER TABLE outbox ADD COLUMN extra int",
        "ALTER TABLE outbox DROP COLUMN error",
        "ALTER TABLE inbox ALTER COLUMN received_at DROP NOT NULL",
        "ALTER TABLE failures ALTER COLUMN attempts TYPE bigint",
        "DROP INDEX ix_outbox_due",
        "CREATE TABLE extra (id int)",
        "ALTER TABLE outbox ALTER COLUMN attempts SET DEFAULT 7",
    ],
)
def test_a_planted_difference_is_found(planted: str, migrated_database: MigratedDatabase) -> None:
    url = migrated_database("intake_api").owner_url
    execute(url, planted)
    assert len(differences("intake_api", url)) == 1


async def test_two_upgrades_at_once_are_harmless(migrated_database: MigratedDatabase) -> None:
    url = migrated_database("intake_api").owner_url
    await asyncio.to_thread(downgrade, "intake_api", url)
    await asyncio.gather(*(asyncio.to_thread(upgrade, "intake_api", url) for _ in range(2)))
    assert await asyncio.to_thread(differences, "intake_api", url) == []


def test_the_application_role_reads_and_writes_but_defines_nothing(migrated_database: MigratedDatabase) -> None:
    url = migrated_database("intake_api").app_url
    execute(url, "INSERT INTO inbox (queue, message_id) VALUES ('q', 'id')")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        execute(url, "CREATE TABLE mine (id int)")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        execute(url, "DROP TABLE inbox")


def test_the_command_line(
    migrated_database: MigratedDatabase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = migrated_database("intake_api").owner_url
    monkeypatch.delenv("INTAKE_MIGRATION_DATABASE_URL", raising=False)
    assert main(["--service", "intake_api", "up"]) == 2
    assert capsys.readouterr().err.startswith("INTAKE_MIGRATION_DATABASE_URL is not set")
    monkeypatch.setenv("INTAKE_MIGRATION_DATABASE_URL", url)
    for command in ("down", "up", "check"):
        assert main(["--service", "intake_api", command]) == 0
        assert capsys.readouterr().out == f"intake_api: {command} done\n"
    execute(url, "DROP INDEX ix_outbox_due")
    assert main(["--service", "intake_api", "check"]) == 1
    assert "ix_outbox_due" in capsys.readouterr().err
    monkeypatch.setenv("INTAKE_MIGRATION_DATABASE_URL", "postgresql://a:secret-word@127.0.0.1:1/x")
    assert main(["--service", "intake_api", "up"]) == 1
    assert "secret-word" not in capsys.readouterr().err
