"""`run.json`: everything that a test or a tool needs to know of a running stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deploy.local import private_file
from deploy.local.configuration import ADMIN_EMAIL, Configuration
from deploy.local.postgres import DATABASES
from deploy.local.service import Service

PROCESSES = (
    "intake-api",
    "intake-worker",
    "assignment-worker",
    "mailer-worker",
    "postgres",
    "rabbitmq",
    "seaweedfs",
    "mail",
)

_OPS_URLS = {
    "api": "intake-api",
    "intake": "intake-worker",
    "assignment": "assignment-worker",
    "mailer": "mailer-worker",
}
"""What `ops_urls` names: the first process of each kind."""


def live_pids(services: Sequence[Service]) -> dict[str, list[int]]:
    """Give the pids by kind: every kind is there, with an empty list where we run none."""
    pids: dict[str, list[int]] = {name: [] for name in PROCESSES}
    for service in services:
        pids[service.kind_name].extend(service.pids())
    return pids


def content(configuration: Configuration, pids: Mapping[str, Sequence[int]]) -> dict[str, object]:
    """Give the file's content; addresses of parts that are not ours are null where nobody told us."""
    settings, mail, rabbitmq = configuration.settings, configuration.mail, configuration.rabbitmq
    s3 = settings["RESUMES_STORE"] == "s3"
    return {
        "api_url": f"http://127.0.0.1:{configuration.ports.api}",
        "mail": {
            "smtp_host": settings["MAILER_SMTP_HOST"],
            "smtp_port": int(settings["MAILER_SMTP_PORT"]),
            "web_url": mail.web_url if mail else None,
            "imap_port": mail.imap_port if mail else None,
        },
        "amqp_url": settings["AMQP_URL"],
        "amqp_management_url": rabbitmq.management_url if rabbitmq else None,
        "databases": {name: settings[f"{name.upper()}_DATABASE_URL"] for name in DATABASES},
        "s3": {
            "endpoint": settings["RESUMES_S3_ENDPOINT"] if s3 else None,
            "access_key": settings["RESUMES_S3_ACCESS_KEY"] if s3 else None,
            "secret_key": settings["RESUMES_S3_SECRET_KEY"] if s3 else None,
            "bucket": settings["RESUMES_S3_BUCKET"] if s3 else None,
        },
        "ops_urls": {
            name: f"http://127.0.0.1:{configuration.ports.ops(process, 0)}" for name, process in _OPS_URLS.items()
        },
        "admin": {"email": ADMIN_EMAIL, "password": settings["INTAKE_SEED_ADMIN_PASSWORD"]},
        "processes": {name: list(numbers) for name, numbers in pids.items()},
    }


def write(configuration: Configuration, pids: Mapping[str, Sequence[int]]) -> None:
    """Replace the file atomically, readable by its owner only."""
    private_file.write_json(configuration.home.run_file, content(configuration, pids))
