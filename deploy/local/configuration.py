"""One stack's settings, put together: files, environment, generated secrets, and the addresses of what we start.

A part whose address is given (environment or override file) is not started by us.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deploy.local import env_file
from deploy.local.errors import StackError
from deploy.local.layout import ENVIRONMENTS, Home
from deploy.local.maildevel import MailServer
from deploy.local.ports import PortPlan
from deploy.local.postgres import DATABASES, PostgresServer
from deploy.local.rabbitmq import RabbitNode
from deploy.local.seaweedfs import BUCKET, SeaweedServer, find_weed
from deploy.local.secrets_file import StackSecrets, load_or_create

ADMIN_EMAIL = "admin@example.com"


@dataclass(frozen=True, slots=True)
class Configuration:
    """The infrastructure that we start (None: given from outside) and the settings of every process."""

    home: Home
    ports: PortPlan
    secrets: StackSecrets
    settings: Mapping[str, str]
    postgres: PostgresServer | None
    rabbitmq: RabbitNode | None
    seaweedfs: SeaweedServer | None
    mail: MailServer | None


def configure(home: Home, environment: Mapping[str, str], profile: str = "dev") -> Configuration:
    """Put a stack's settings together; raise StackError naming what is missing or does not fit."""
    base = ENVIRONMENTS / f"{profile}.env"
    if not base.is_file():
        raise StackError(f"deploy/env/{profile}.env is missing: LEADS_PROFILE names a file there")
    given = env_file.read_layers(base, ENVIRONMENTS / "overrides", environment)
    home.create()
    ports, secrets = PortPlan.from_environment(given), load_or_create(home)
    settings = dict(given)
    postgres = _databases(settings, PostgresServer(home, ports.postgres, secrets))
    rabbitmq = _broker(settings, RabbitNode(home, ports.rabbitmq, secrets.rabbitmq))
    mail = _mail(settings, MailServer(home, ports.mail))
    seaweedfs = _resumes(settings, home, ports, secrets)
    settings.setdefault("INTAKE_AUTH_SECRET", secrets.auth_secret)
    settings.setdefault("MAILER_SUPPRESSION_SECRET", secrets.suppression_secret)
    settings.setdefault("LEADS_LINK_KEY", secrets.link_key)
    settings.setdefault("INTAKE_SEED_ADMIN_PASSWORD", secrets.admin_password)
    settings.setdefault("INTAKE_HTTP_HOST", "127.0.0.1")
    settings["INTAKE_HTTP_PORT"] = str(ports.api)
    return Configuration(home, ports, secrets, settings, postgres, rabbitmq, seaweedfs, mail)


def _databases(settings: dict[str, str], server: PostgresServer) -> PostgresServer | None:
    """Address the databases; a given one serves for its migrations too, unless told otherwise."""
    started = False
    for database in DATABASES:
        url, migration_url = f"{database.upper()}_DATABASE_URL", f"{database.upper()}_MIGRATION_DATABASE_URL"
        if settings.get(url):
            settings[migration_url] = settings.get(migration_url) or settings[url]
            continue
        started = True
        settings[url] = server.url(f"{database}_app", database)
        settings[migration_url] = server.url(f"{database}_owner", database)
    return server if started else None


def _broker(settings: dict[str, str], node: RabbitNode) -> RabbitNode | None:
    if settings.get("AMQP_URL"):
        return None
    settings["AMQP_URL"] = node.amqp_url
    return node


def _mail(settings: dict[str, str], server: MailServer) -> MailServer | None:
    given = [bool(settings.get(name)) for name in ("MAILER_SMTP_HOST", "MAILER_SMTP_PORT")]
    if any(given) and not all(given):
        raise StackError("MAILER_SMTP_HOST and MAILER_SMTP_PORT belong together: give both or none")
    if all(given):
        return None
    settings["MAILER_SMTP_HOST"] = "127.0.0.1"
    settings["MAILER_SMTP_PORT"] = str(server.smtp_port)
    return server


def _resumes(settings: dict[str, str], home: Home, ports: PortPlan, secrets: StackSecrets) -> SeaweedServer | None:
    """Address the object store: a given one, else SeaweedFS, else (no program for this machine) a folder."""
    keys = ("RESUMES_S3_ACCESS_KEY", "RESUMES_S3_SECRET_KEY")
    settings.setdefault("RESUMES_S3_BUCKET", BUCKET)
    settings.setdefault("RESUMES_PATH", str(home.data / "resumes"))
    if settings.get("RESUMES_S3_ENDPOINT"):
        missing = [name for name in keys if not settings.get(name)]
        if missing:
            raise StackError(f"RESUMES_S3_ENDPOINT is given without {' and '.join(missing)}: give them too")
        settings["RESUMES_STORE"] = "s3"
        return None
    if settings.get("RESUMES_STORE") == "filesystem" or find_weed() is None:
        settings["RESUMES_STORE"] = "filesystem"
        return None
    access, secret = secrets.s3_access_key, secrets.s3_secret_key
    server = SeaweedServer(home, ports.seaweedfs, access, secret, settings["RESUMES_S3_BUCKET"])
    settings.update({"RESUMES_S3_ENDPOINT": server.endpoint, keys[0]: access, keys[1]: secret, "RESUMES_STORE": "s3"})
    return server
