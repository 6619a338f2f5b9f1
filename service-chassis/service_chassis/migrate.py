"""Migrations: Alembic per service, run by the owner role; never by the processes themselves.

Each service package has ``migrations/versions`` and a ``models`` module whose ``metadata`` lists its own
tables and the chassis'. The Alembic environment is here once. Every command runs in one transaction under
an advisory lock, so that two of them at once are harmless and a failed one leaves nothing.
"""

import argparse
import asyncio
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import MetaData, NullPool, text
from sqlalchemy.engine import Connection

from service_chassis.database import engine_at
from service_chassis.telemetry import log_fields

PREFIXES = {"intake_api": "INTAKE", "assignment_worker": "ASSIGNMENT", "mailer_worker": "MAILER"}
"""The services and the prefix of their settings."""

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('migrate', 0))")


def upgrade(service: str, url: str, revision: str = "head") -> None:
    """Bring the database at ``url`` (the owner role's) up to ``revision``."""
    _run(service, url, lambda config, _: command.upgrade(config, revision))


def downgrade(service: str, url: str, revision: str = "base") -> None:
    """Take the database at ``url`` down to ``revision``; ``base`` removes every table of the service."""
    _run(service, url, lambda config, _: command.downgrade(config, revision))


def differences(service: str, url: str) -> list[Any]:
    """What the models have that the migrated database has not, and the other way round; empty is right."""
    found: list[Any] = []

    def compare(_config: Config, connection: Connection) -> None:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        found.extend(compare_metadata(context, _merged(_metadata(service))))

    _run(service, url, compare)
    return found


def write_revision(service: str, url: str, message: str) -> None:
    """Write a new revision file from the difference between models and database; read it before use."""
    _run(service, url, lambda config, _: command.revision(config, message, autogenerate=True))


def _metadata(service: str) -> list[MetaData]:
    metadata: list[MetaData] = importlib.import_module(f"{service}.models").metadata
    return metadata


def _merged(parts: Sequence[MetaData]) -> MetaData:
    whole = MetaData(naming_convention=parts[0].naming_convention)
    for part in parts:
        for table in part.tables.values():
            table.to_metadata(whole)
    return whole


def _run(service: str, url: str, work: Callable[[Config, Connection], object]) -> None:
    spec = importlib.util.find_spec(service)
    if spec is None or spec.origin is None:
        raise LookupError(f"service {service} is not installed")
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "alembic_env"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", str(Path(spec.origin).parent / "migrations" / "versions"))
    config.attributes["metadata"] = _metadata(service)

    def locked(connection: Connection) -> None:
        connection.execute(_LOCK)
        config.attributes["connection"] = connection
        work(config, connection)

    async def main() -> None:
        engine = engine_at(url, poolclass=NullPool)
        try:
            async with engine.begin() as connection:
                await connection.run_sync(locked)
        finally:
            await engine.dispose()

    asyncio.run(main())


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: ``python -m service_chassis.migrate [--service NAME]... up|down|check|revision``."""
    parser = argparse.ArgumentParser(
        prog="python -m service_chassis.migrate",
        description="Migrate the services' databases. The owner role's address of each comes from "
        "INTAKE_, ASSIGNMENT_ and MAILER_MIGRATION_DATABASE_URL.",
    )
    parser.add_argument(
        "--service",
        action="append",
        choices=sorted(PREFIXES),
        help="may be repeated; default: every installed service",
    )
    parser.add_argument("command", choices=["up", "down", "check", "revision"])
    parser.add_argument("--revision", help="where to stop (default: head for up, base for down)")
    parser.add_argument("-m", "--message", default="change", help="what a new revision does")
    options = parser.parse_args(arguments)
    services = options.service or [name for name in PREFIXES if importlib.util.find_spec(name)]
    status = 0
    for service in services:
        variable = f"{PREFIXES[service]}_MIGRATION_DATABASE_URL"
        url = os.environ.get(variable)
        if not url:
            _say(f"{variable} is not set: give the owner role's address", error=True)
            return 2
        try:
            status |= _one(service, url, options)
        except Exception as error:
            fields = log_fields(error)
            _say(f"{service}: {fields['error_type']} at {fields['error_place']}: {error}", error=True)
            return 1
    return status


def _one(service: str, url: str, options: argparse.Namespace) -> int:
    if options.command == "up":
        upgrade(service, url, options.revision or "head")
    elif options.command == "down":
        downgrade(service, url, options.revision or "base")
    elif options.command == "revision":
        write_revision(service, url, options.message)
    else:
        found = differences(service, url)
        for difference in found:
            _say(f"{service}: {difference}", error=True)
        if found:
            return 1
    _say(f"{service}: {options.command} done")
    return 0


def _say(line: str, *, error: bool = False) -> None:
    print(line, file=sys.stderr if error else sys.stdout)


if __name__ == "__main__":
    sys.exit(main())
