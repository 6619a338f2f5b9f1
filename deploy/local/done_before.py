"""Remembers which one-time steps a stack's data has seen, so that a second start need not run them again.

A step is known by what it would run (the files that define it), by the data it ran on (a folder made anew is another
folder) and, for the databases, by the revisions that they are at. Anything else, and the step runs: all are idempotent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from deploy.local import private_file
from deploy.local.configuration import Configuration
from deploy.local.layout import ROOT
from deploy.local.one_shot import DECLARE_TOPOLOGY, MIGRATE, SEED, OneShot
from deploy.local.postgres import DATABASES, PostgresServer

_DEFINED_BY = {
    MIGRATE.name: ("*/*/migrations/versions/*.py", "deploy/postgres/*"),
    SEED.name: ("*/*/migrations/versions/*.py", "intake-api/intake_api/seed.py", "deploy/local/one_shot.py"),
    DECLARE_TOPOLOGY.name: ("shared-schemas/shared_schemas/topology.py", "service-chassis/service_chassis/topology.py"),
}


class DoneBefore:
    """The memory of one stack; of parts that are given from outside nothing is remembered."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._file = configuration.home.data / "steps.json"

    def knows(self, step: OneShot) -> bool:
        """Tell whether the step has run on this data as it is; its service must be running."""
        key = self._key(step)
        return key is not None and self._read().get(step.name) == key

    def remember(self, step: OneShot) -> None:
        """Record that the step has succeeded."""
        key = self._key(step)
        if key is not None:
            private_file.write_json(self._file, {**self._read(), step.name: key})

    def _read(self) -> dict[str, str]:
        if not self._file.exists():
            return {}
        stored: dict[str, str] = json.loads(self._file.read_text(encoding="utf-8"))
        return stored

    def _key(self, step: OneShot) -> str | None:
        """Give what identifies the step here and now, or None when it is not ours to remember."""
        data = self._configuration.home.data
        facts: Sequence[str] | None
        if step is DECLARE_TOPOLOGY:
            facts = None if self._configuration.rabbitmq is None else [_identity(data / "rabbitmq" / "mnesia")]
        else:
            facts = self._database_facts()
        if facts is None:
            return None
        digest = hashlib.sha256()
        for path in sorted(path for pattern in _DEFINED_BY[step.name] for path in ROOT.glob(pattern)):
            digest.update(path.read_bytes())
        admin = self._configuration.settings["INTAKE_SEED_ADMIN_PASSWORD"] if step is SEED else ""
        digest.update("\n".join([*facts, admin]).encode())
        return digest.hexdigest()

    def _database_facts(self) -> Sequence[str] | None:
        postgres = self._configuration.postgres
        if postgres is None or not all(self._is_ours(postgres, name) for name in DATABASES):
            return None
        return [
            _identity(self._configuration.home.data / "postgres" / "PG_VERSION"),
            *map(postgres.revision, DATABASES),
        ]

    def _is_ours(self, postgres: PostgresServer, database: str) -> bool:
        return self._configuration.settings[f"{database.upper()}_DATABASE_URL"] == postgres.url(
            f"{database}_app", database
        )


def _identity(path: Path) -> str:
    """What tells a file or folder from one made later in its place."""
    found = path.stat()
    return f"{found.st_ino} {found.st_mtime_ns if path.is_file() else ''}"
