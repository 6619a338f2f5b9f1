"""One composed stack: its command line, and the addresses that it has on this machine.

Everything is read from what Compose itself makes of docker-compose.yml, its variables and files
(`docker compose config`), so that no port or password is written down twice.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from deploy.local.errors import StackError
from deploy.local.layout import ROOT
from deploy.local.run_file import PROCESSES

INFRASTRUCTURE = ("postgres", "rabbitmq", "seaweedfs", "mail")
_FILES = ("--file", "docker-compose.yml", "--file", "deploy/compose/ports.yml")
_MIGRATIONS = ("intake", "assignment", "mailer")
_ADMIN_EMAIL = "admin@example.com"


@dataclass(frozen=True)
class ComposedStack:
    """A stack of docker-compose.yml with the infrastructure's ports published too."""

    options: tuple[str, ...] = ()
    """Options of `docker compose` itself, such as `--project-name`."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Variables of docker-compose.yml, beside those of this process's environment."""

    def command(self, *arguments: str) -> list[str]:
        """Give a `docker compose` command line for this stack."""
        return ["docker", "compose", *self.options, *_FILES, *arguments]

    def environment(self) -> dict[str, str]:
        """Give the environment to run it in."""
        return {**os.environ, **self.variables}

    def compose(self, *arguments: str, within: float = 600.0) -> str:
        """Run `docker compose ...` and give its output; raise StackError with its last lines when it fails."""
        try:
            done = subprocess.run(  # noqa: S603 - a command of our own making
                self.command(*arguments),
                cwd=ROOT,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=within,
                check=False,
            )
        except FileNotFoundError:
            raise StackError("docker is not installed: install Docker with the compose plugin") from None
        except subprocess.TimeoutExpired:
            raise StackError(f"docker compose {arguments[0]}: not done after {within:g} s") from None
        if done.returncode != 0:
            words = "\n".join((done.stderr or done.stdout).strip().splitlines()[-15:])
            raise StackError(f"docker compose {' '.join(arguments)} failed:\n{words}")
        return done.stdout

    def addresses(self) -> Addresses:
        """Give the addresses that this stack has, or would have, on this machine."""
        return Addresses(json.loads(self.compose("config", "--format", "json"))["services"])


@dataclass(frozen=True)
class Addresses:
    """The services of `docker compose config`, seen from outside of their network."""

    services: Mapping[str, Any]

    @property
    def api_url(self) -> str:
        """The API's address."""
        return f"http://{self._published('intake-api', 8000)}"

    @property
    def mail_page(self) -> str:
        """The page that shows all mail."""
        return f"http://{self._published('mail', 1080)}"

    @property
    def rabbitmq_page(self) -> str:
        """RabbitMQ's management page and API."""
        return f"http://{self._published('rabbitmq', 15672)}"

    def settings(self) -> dict[str, str]:
        """Give the settings of processes that run on this machine and use the containers' infrastructure."""
        smtp_host, _, smtp_port = self._published("mail", 1025).partition(":")
        migrations = {
            f"{name.upper()}_MIGRATION_DATABASE_URL": self._url(
                f"{name}-migrate", f"{name.upper()}_MIGRATION_DATABASE_URL"
            )
            for name in _MIGRATIONS
        }
        copied = (
            "RESUMES_S3_ACCESS_KEY",
            "RESUMES_S3_SECRET_KEY",
            "RESUMES_S3_BUCKET",
            "INTAKE_AUTH_SECRET",
            "LEADS_LINK_KEY",
        )
        return {
            **migrations,
            "INTAKE_DATABASE_URL": self._url("intake-api", "INTAKE_DATABASE_URL"),
            "ASSIGNMENT_DATABASE_URL": self._url("assignment-worker", "ASSIGNMENT_DATABASE_URL"),
            "MAILER_DATABASE_URL": self._url("mailer-worker", "MAILER_DATABASE_URL"),
            "AMQP_URL": self._url("intake-worker", "AMQP_URL"),
            "RESUMES_S3_ENDPOINT": self._url("intake-api", "RESUMES_S3_ENDPOINT"),
            **{name: self._given("intake-api", name) for name in copied},
            "INTAKE_SEED_ADMIN_PASSWORD": self._given("seed", "INTAKE_SEED_ADMIN_PASSWORD"),
            "MAILER_SUPPRESSION_SECRET": self._given("mailer-worker", "MAILER_SUPPRESSION_SECRET"),
            "MAILER_SMTP_HOST": smtp_host,
            "MAILER_SMTP_PORT": smtp_port,
        }

    def run_file(self) -> dict[str, object]:
        """Give what `make run` writes to run.json; pids are the containers' business, so there are none."""
        settings = self.settings()
        return {
            "api_url": self.api_url,
            "mail": {
                "smtp_host": settings["MAILER_SMTP_HOST"],
                "smtp_port": int(settings["MAILER_SMTP_PORT"]),
                "web_url": self.mail_page,
                "imap_port": None,
            },
            "amqp_url": settings["AMQP_URL"],
            "amqp_management_url": self.rabbitmq_page,
            "databases": {name: settings[f"{name.upper()}_DATABASE_URL"] for name in _MIGRATIONS},
            "s3": {
                "endpoint": settings["RESUMES_S3_ENDPOINT"],
                "access_key": settings["RESUMES_S3_ACCESS_KEY"],
                "secret_key": settings["RESUMES_S3_SECRET_KEY"],
                "bucket": settings["RESUMES_S3_BUCKET"],
            },
            "admin": {"email": _ADMIN_EMAIL, "password": settings["INTAKE_SEED_ADMIN_PASSWORD"]},
            "processes": {name: [] for name in PROCESSES},
        }

    def _given(self, service: str, setting: str) -> str:
        return str(self.services[service]["environment"][setting])

    def _url(self, service: str, setting: str) -> str:
        """A URL that a container is given, with the address that its server has on this machine."""
        parts = urlsplit(self._given(service, setting))
        login = f"{parts.username}:{parts.password}@" if parts.username else ""
        place = self._published(parts.hostname or "", parts.port or 0)
        return urlunsplit(parts._replace(netloc=f"{login}{place}"))

    def _published(self, service: str, port: int) -> str:
        for one in self.services[service].get("ports", ()):
            if one["target"] == port:
                return f"{one['host_ip']}:{one['published']}"
        raise StackError(f"docker-compose.yml publishes no port {port} of {service}")
