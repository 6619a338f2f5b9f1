"""A running application over a real database, built by the real composition root."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from intake_api.main import build
from intake_api.resume_store import FilesystemStore
from intake_api.settings import IntakeSettings
from intake_api.use_cases.create_account import create_account
from service_chassis.database import Sessions, make_engine, make_sessions

from deploy.local.service_addresses import DatabaseAddresses
from deploy.local.testing import MigratedDatabase

from .. import documented
from .served import Command, served

ADMIN = ("admin@firm.test", "correct horse battery staple")


def settings_for(url: str, **changes: Any) -> IntakeSettings:
    return IntakeSettings(
        environment="test",
        database_url=url,
        amqp_url="amqp://nowhere",
        auth_secret="a-secret-of-tests-that-is-long-enough",
        link_key="a-key-of-tests-that-is-long-enough",
        **changes,
    )


@dataclass(frozen=True)
class Intake:
    settings: IntakeSettings
    sessions: Sessions
    store: FilesystemStore
    client: httpx.AsyncClient
    database: asyncpg.Connection
    objects: Path

    async def rows(self, table: str) -> int:
        return int(await self.database.fetchval(f"SELECT count(*) FROM {table}"))  # noqa: S608 - a test's own table names

    def stored(self) -> list[Path]:
        return [path for path in self.objects.rglob("*") if path.is_file()]


@asynccontextmanager
async def running(addresses: DatabaseAddresses, objects: Path, **changes: Any) -> AsyncIterator[Intake]:
    """The application over this database, with some settings changed."""
    settings = settings_for(addresses.app_url, **changes)
    store = FilesystemStore(objects, 4)
    app = build(settings, store)
    engine = make_engine(settings, "tests", pool_size=5)
    database = await asyncpg.connect(addresses.owner_url)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        httpx.AsyncClient(
            transport=transport, base_url="http://intake", timeout=30, event_hooks={"response": [documented.check]}
        ) as client,
        app.router.lifespan_context(app),
    ):
        yield Intake(settings, make_sessions(engine), store, client, database, objects)
    await engine.dispose()
    await database.close()


@pytest.fixture
async def intake(
    migrated_database: MigratedDatabase, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Intake]:
    """The application; ``@pytest.mark.parametrize("intake", [{...}], indirect=True)`` changes its settings."""
    changes: dict[str, Any] = getattr(request, "param", {})
    async with running(migrated_database("intake_api"), tmp_path / "objects", **changes) as application:
        yield application


@pytest.fixture
async def staff(intake: Intake) -> httpx.AsyncClient:
    """The same client, logged in as an admin."""
    await create_account(intake.sessions, email=ADMIN[0], password=ADMIN[1], role="admin")
    answer = await intake.client.post("/api/v1/auth/token", data={"username": ADMIN[0], "password": ADMIN[1]})
    intake.client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return intake.client


@pytest.fixture
async def leadctl(intake: Intake) -> AsyncIterator[Command]:
    """leadctl for this application, with the admin's account (which ``staff`` makes)."""
    async with served(intake.client._transport.app) as origin:  # type: ignore[attr-defined] # the fixture's application
        yield Command(
            {
                "PATH": os.environ["PATH"],
                "LEADS_ENVIRONMENT": "test",
                "INTAKE_DATABASE_URL": intake.settings.database_url.get_secret_value(),
                "LEADCTL_API_URL": origin,
                "LEADCTL_EMAIL": ADMIN[0],
                "LEADCTL_PASSWORD": ADMIN[1],
            }
        )
