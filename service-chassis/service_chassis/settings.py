"""Setting groups shared by the services. Each service adds its prefix: ``INTAKE_``, ``ASSIGNMENT_``, ``MAILER_``.

Settings are built once, in the composition root, and passed down. Nothing here is read at import time.
"""

import ipaddress
import os
import sys
from enum import StrEnum
from typing import Annotated, Any, Self, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import AliasChoices, BaseModel, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Port = Annotated[int, Field(ge=0, le=65535)]

RELAY_IDLE_TRANSACTION_S = 15.0
"""PostgreSQL ends a relay's transaction that is idle for so long, and with it a frozen process's hold on its rows."""

Loaded = TypeVar("Loaded", bound=BaseSettings)

MINIMUM_SECRET_BYTES = 32
MINIMUM_PASSWORD_LENGTH = 16
"""Characters of a password in a URL: what is dialled from a network can be guessed at from there."""
_BROKER_DEFAULTS = ("guest",)
_PLACEHOLDERS = ("change", "secret", "example", "default", "password", "placeholder")


class Environment(StrEnum):
    """Where the process runs. Only ``development`` and ``test`` accept weak or missing secrets."""

    DEVELOPMENT = "development"
    TEST = "test"
    PRODUCTION = "production"


class DatabaseGroup(BaseModel):
    """Database: where it is and how many connections this process may hold."""

    database_url: SecretStr = Field(description="Application role's URL: postgresql://role:password@host:port/name")
    database_pool_size: Count = Field(10, description="Connections this process keeps at most")
    database_pool_timeout: Seconds = Field(5.0, description="Seconds to wait for a free connection")
    database_statement_timeout: Seconds = Field(10.0, description="Seconds one statement may take")
    database_idle_transaction_timeout: Seconds = Field(
        5.0, description="Seconds a transaction may sit idle before PostgreSQL ends it and frees its rows"
    )


class ConsumerGroup(BaseModel):
    """Consumers: how much is taken at once, and when a message is given up."""

    consumer_prefetch: Count = Field(20, description="Messages in flight per queue and process")
    consumer_max_attempts: Count = Field(5, description="Failures of one message before it is dead-lettered")
    consumer_handler_timeout: Seconds = Field(30.0, description="Seconds one message may take")
    consumer_grace: Seconds = Field(10.0, description="Seconds handlers in flight get to finish on stop")
    consumer_heartbeat: Count = Field(10, description="AMQP heartbeat in seconds")


class WatchdogGroup(BaseModel):
    """Watchdog: when a process that hangs is ended."""

    stall_limit: Annotated[float, Field(ge=60)] = Field(
        180.0,
        description="Seconds in which a loop must come round; else the process ends with exit code 1 and one line "
        "naming the loop, to be started again. After half of it /livez answers 503",
    )


class RelayGroup(BaseModel):
    """Relay: how outbox rows reach the broker."""

    relay_batch: Count = Field(100, description="Outbox rows claimed at once")
    relay_lanes: Count = Field(2, description="Batches in flight at once; each lane has its own connections")
    relay_poll_interval: Seconds = Field(2.0, description="Seconds between looks when no NOTIFY comes")
    relay_publish_timeout: Seconds = Field(
        5.0, description="Seconds to wait for the broker's confirm; less than 15, when PostgreSQL ends the transaction"
    )
    relay_drain_timeout: Seconds = Field(5.0, description="Seconds the relay may go on draining on stop")
    topology_interval: Seconds = Field(60.0, description="Seconds between re-declarations of the topology")

    @field_validator("relay_publish_timeout")
    @classmethod
    def _refuse_to_outwait_the_database(cls, value: float) -> float:
        """Rows are locked while their confirms are awaited: without the lock they are published again."""
        if value >= RELAY_IDLE_TRANSACTION_S:
            limit = f"{RELAY_IDLE_TRANSACTION_S:g}"
            raise ValueError(f"must be less than {limit}: after so many idle seconds PostgreSQL ends the transaction")
        return value


class ServiceSettings(BaseSettings):
    """What every process has: an environment, a log level, and no tolerance for weak secrets in production."""

    model_config = SettingsConfigDict(extra="ignore", hide_input_in_errors=True, populate_by_name=True)

    environment: Environment = Field(
        Environment.PRODUCTION,
        validation_alias=AliasChoices("LEADS_ENVIRONMENT", "environment"),
        description="development, test or production",
    )
    log_level: str = Field(
        "INFO",
        validation_alias=AliasChoices("LEADS_LOG_LEVEL", "log_level"),
        description="Least level logged",
    )
    network_encrypts: bool = Field(
        False,
        validation_alias=AliasChoices("LEADS_NETWORK_ENCRYPTS", "network_encrypts"),
        description="The network between our hosts encrypts by itself (a mesh, WireGuard): database, broker and "
        "store may be spoken to without TLS in production",
    )

    @property
    def is_production(self) -> bool:
        """Whether weak secrets are refused."""
        return self.environment is Environment.PRODUCTION

    def secret_problem(self, secret: SecretStr | None) -> str | None:
        """Say what is wrong with a secret, or None. Outside production anything non-empty will do."""
        value = secret.get_secret_value() if secret else ""
        if not value:
            return "is missing"
        if not self.is_production:
            return None
        if len(value.encode()) < MINIMUM_SECRET_BYTES:
            return f"is shorter than {MINIMUM_SECRET_BYTES} bytes"
        return self.placeholder_problem(secret)

    def placeholder_problem(self, secret: SecretStr | None) -> str | None:
        """Say that a secret which others gave us, of whatever length, is a placeholder; never outside production."""
        if self.is_production and secret and _is_placeholder(secret.get_secret_value()):
            return "looks like a placeholder"
        return None

    def plain_hop_problem(self, urls: str) -> str | None:
        """Say why one of these URLs, separated by commas, would be dialled unencrypted; None: all may be.

        None outside production too, for this machine itself, and where the network encrypts.
        """
        if not self.is_production or self.network_encrypts:
            return None
        return next((problem for url in urls.split(",") if (problem := _plain_hop(url.strip()))), None)

    @model_validator(mode="after")
    def _refuse_weak_passwords_in_urls(self) -> Self:
        if self.is_production:
            prefix = str(self.model_config.get("env_prefix", ""))
            problems = [
                f"{prefix}{name.upper()}: production refuses {problem} in the URL"
                for name, value in self
                if name.endswith("_url") and isinstance(value, SecretStr)
                if (problem := _password_problem(value) or self.plain_hop_problem(value.get_secret_value()))
            ]
            if problems:
                raise ValueError("\n".join(problems))
        return self


def _is_placeholder(value: str) -> bool:
    return any(word in value.lower() for word in _PLACEHOLDERS)


def _password_problem(urls: SecretStr) -> str | None:
    """What is wrong with the password of the first URL, of those separated by commas, that has not a good one."""
    for url in urls.get_secret_value().split(","):
        password = unquote(urlsplit(url.strip()).password or "")
        if not password or password in _BROKER_DEFAULTS or _is_placeholder(password):
            return "a missing, default or placeholder password"
        if len(password) < MINIMUM_PASSWORD_LENGTH:
            return f"a password of fewer than {MINIMUM_PASSWORD_LENGTH} characters"
    return None


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, so that nobody else hears what it is told."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _plain_hop(url: str) -> str | None:
    """What is wrong with a URL whose peer is another host and is not asked for a certificate."""
    parts = urlsplit(url)
    if not parts.hostname or is_loopback(parts.hostname):
        return None
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if parts.scheme in {"amqp", "http"}:
        return f"{parts.scheme} to another host: give {parts.scheme}s"
    if parts.scheme == "amqps" and options.get("no_verify_ssl", "0") != "0":
        return "no_verify_ssl"
    if parts.scheme.startswith("postgres") and options.get("sslmode") != "verify-full":
        return "a database on another host without sslmode=verify-full"
    return None


def amqp_url_field(prefix: str) -> Any:
    """The broker's address: ``<PREFIX>AMQP_URL``, else ``AMQP_URL``; several nodes separated by commas."""
    return Field(
        validation_alias=AliasChoices(f"{prefix}AMQP_URL", "AMQP_URL", "amqp_url"),
        description="amqp://user:password@host:port/vhost; several nodes separated by commas",
    )


def load(kind: type[Loaded]) -> Loaded:
    """Build settings from the environment; what is wrong is printed, one line per setting, and the process exits 2.

    A validator of a whole class names its settings itself, one per line of its ValueError.
    """
    try:
        return kind()
    except ValidationError as error:
        prefix = str(kind.model_config.get("env_prefix", ""))
        for problem in error.errors(include_input=False, include_url=False):
            name = ".".join(str(part) for part in problem["loc"])
            shown = name if name.isupper() or not name else f"{prefix}{name.upper()}"
            for line in problem["msg"].removeprefix("Value error, ").splitlines():
                print(f"setting {shown}: {line}" if shown else f"setting {line}", file=sys.stderr)  # noqa: T201 - logging needs settings
        sys.exit(2)


def worker_name(service: str) -> str:
    """A name for this process in decisions, logs and metrics: service, host and pid."""
    return f"{service}@{os.uname().nodename}:{os.getpid()}"
