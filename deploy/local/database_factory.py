"""Fresh, migrated databases for tests: migrated once for each service and session, then copied."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import asyncpg
from service_chassis.migrate import upgrade

from deploy.local.service_addresses import DATABASE_OF, DatabaseAddresses, PostgresAddresses, ServiceName


class DatabaseFactory:
    """Copies a service's migrated database under a new name: as files, a quarter of the time of the default's WAL.

    Works in a thread of its own, so that it can be called from tests inside and outside an event loop.
    """

    def __init__(self, server: PostgresAddresses) -> None:
        self._server = server
        self._numbers = itertools.count(1)
        self._migrated: set[ServiceName] = set()
        self._lock = threading.Lock()

    def create(self, service: ServiceName) -> tuple[str, DatabaseAddresses]:
        """Give the name and addresses of a new database that a service's real migrations have built."""
        template = DATABASE_OF[service]
        name = f"t_{next(self._numbers)}_{template}"
        with self._lock:
            if service not in self._migrated:
                owner_url = self._server.database(template, template).owner_url
                _apart(lambda: upgrade(service, owner_url))
                self._migrated.add(service)
            self._execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY OWNER {template}_owner")
        return name, self._server.database(template, name)

    def drop(self, name: str) -> None:
        """Drop a database, ending whoever is still connected."""
        self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        async def run() -> None:
            connection = await asyncpg.connect(self._server.admin_url)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        _apart(lambda: asyncio.run(run()))


def _apart(work: Callable[[], None]) -> None:
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="database") as thread:
        thread.submit(work).result()
