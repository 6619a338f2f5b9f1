"""PostgreSQL as a private server: one data folder, one loopback port, no system account."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence

from deploy.local.errors import StackError
from deploy.local.layout import ROOT, Home
from deploy.local.postgres_binaries import find_binaries, hand_over, unprivileged_prefix
from deploy.local.secrets_file import StackSecrets
from deploy.local.service import Service

DATABASES = ("intake", "assignment", "mailer")
SUPERUSER = "leads"
_PROVISIONING = ROOT / "deploy" / "postgres" / "databases.sql"
# A crash of the machine may lose data with these: for tests that make their data anew, never for `make run`.
_FORGETFUL = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class PostgresServer(Service):
    """A server with the three databases, an owner and an application role each."""

    stop_signal = signal.SIGINT  # fast shutdown: sessions are ended, everything is written

    def __init__(self, home: Home, port: int, secrets: StackSecrets, *, durable: bool = True) -> None:
        super().__init__("postgres", "PostgreSQL", home)
        self._port = port
        self._secrets = secrets
        self._durable = durable
        self._data = home.data / "postgres"

    def ports(self) -> Mapping[str, int]:
        """Give the one port."""
        return {"PostgreSQL": self._port}

    def url(self, role: str, database: str) -> str:
        """Give the address of a database for a role such as `intake_app`."""
        return f"postgresql://{role}:{self._secrets.role(role)}@127.0.0.1:{self._port}/{database}"

    @property
    def admin_url(self) -> str:
        """Give the superuser's address, for making databases."""
        return f"postgresql://{SUPERUSER}:{self._secrets.postgres_superuser}@127.0.0.1:{self._port}/postgres"

    def prepare(self) -> None:
        """Run initdb where there is no data folder yet; a folder left half made is made again."""
        if (self._data / "PG_VERSION").exists():
            self._check_version()
            return
        shutil.rmtree(self._data, ignore_errors=True)
        self._data.mkdir(mode=0o700, parents=True)
        hand_over(self._data)
        with tempfile.NamedTemporaryFile("w", prefix="initdb-", dir=self.home.folder) as password:
            password.write(self._secrets.postgres_superuser)
            password.flush()
            if unprivileged_prefix()[:1] == ("setpriv",):
                shutil.chown(password.name, "nobody")
            arguments = ["initdb", "-D", str(self._data), "-U", SUPERUSER, "-A", "scram-sha-256", "-E", "UTF8"]
            arguments += ["--locale=C.UTF-8", "--no-instructions", f"--pwfile={password.name}"]
            self._run([*arguments, *([] if self._durable else ["--no-sync"])], "initdb")

    def command(self) -> list[str]:
        """Give the server's command line: loopback only, no socket file."""
        options = [
            f"port={self._port}",
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=200",
        ]
        options += [] if self._durable else _FORGETFUL
        flags = [part for option in options for part in ("-c", option)]
        return [*unprivileged_prefix(), str(find_binaries() / "postgres"), "-D", str(self._data), *flags]

    def is_ready(self) -> bool:
        """Ask pg_isready."""
        asked = subprocess.run(
            [str(find_binaries() / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self._port)],
            capture_output=True,
            check=False,
        )
        return asked.returncode == 0

    def provision(self) -> None:
        """Make databases and roles, once for each data folder."""
        done = self._data.with_name("postgres.provisioned")
        if done.exists() and done.stat().st_mtime >= (self._data / "PG_VERSION").stat().st_mtime:
            return
        roles = [f"{database}_{kind}" for database in DATABASES for kind in ("owner", "app")]
        passwords = {f"{role}_password".upper(): self._secrets.role(role) for role in roles}
        psql = ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--file={_PROVISIONING}"]
        self._run(
            psql, "making the databases", privileged=True, environment={**passwords, **self._superuser_connection()}
        )
        done.touch()

    def revision(self, database: str) -> str:
        """Give the migration that a database of the running server is at; empty when there has been none."""
        query = ["psql", "--no-psqlrc", "-At", "-c", "SELECT version_num FROM alembic_version", "-d", database]
        asked = subprocess.run(
            [str(find_binaries() / query[0]), *query[1:]],
            env={**os.environ, **self._superuser_connection()},
            capture_output=True,
            text=True,
            check=False,
        )
        return asked.stdout.strip()

    def _superuser_connection(self) -> dict[str, str]:
        return {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self._port),
            "PGUSER": SUPERUSER,
            "PGPASSWORD": self._secrets.postgres_superuser,
            "PGDATABASE": "postgres",
        }

    def _run(
        self,
        command: Sequence[str],
        what: str,
        *,
        privileged: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Run one of PostgreSQL's programs; raise StackError with its last line when it fails."""
        prefix = () if privileged else unprivileged_prefix()
        done = subprocess.run(
            [*prefix, str(find_binaries() / command[0]), *command[1:]],
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            words = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
            raise StackError(f"PostgreSQL: {what} failed: {words[-1]}")

    def _check_version(self) -> None:
        """Refuse a data folder of another major version before the server does so in its log."""
        made_by = (self._data / "PG_VERSION").read_text(encoding="ascii").strip()
        asked = subprocess.run(
            [str(find_binaries() / "postgres"), "--version"], capture_output=True, text=True, check=True
        )
        version = asked.stdout.split()[2].split(".")[0]
        if version != made_by:
            raise StackError(
                f"{self.home.shown(self._data)} was made by PostgreSQL {made_by}, found here is {version}: "
                "`make clean` starts afresh"
            )
