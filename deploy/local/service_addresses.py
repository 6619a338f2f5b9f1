"""What a test may know of a service: its addresses, and how to take the broker away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from deploy.local.rabbitmq_management import Management

ServiceName = Literal["intake_api", "assignment_worker", "mailer_worker"]

DATABASE_OF: dict[ServiceName, str] = {
    "intake_api": "intake",
    "assignment_worker": "assignment",
    "mailer_worker": "mailer",
}


@dataclass(frozen=True, slots=True)
class DatabaseAddresses:
    """One database as its two roles see it; plain `postgresql://` URLs."""

    owner_url: str
    app_url: str


@dataclass(frozen=True, slots=True)
class PostgresAddresses:
    """A server with the roles of all services."""

    admin_url: str
    database: Callable[[str, str], DatabaseAddresses]
    """(service's database, name of an actual database) -> its addresses for the service's two roles."""


@dataclass(frozen=True, slots=True)
class BrokerAddresses:
    """A broker that a test may stop (orderly), kill (crash) and start again, at the same addresses."""

    amqp_url: str
    management_url: str
    management: Management
    stop: Callable[[], None]
    kill: Callable[[], None]
    start: Callable[[], None]

    def vhost_url(self, name: str) -> str:
        """Give the address of a virtual host."""
        return f"{self.amqp_url.rpartition('/')[0]}/{name}"


@dataclass(frozen=True, slots=True)
class StoreAddresses:
    """An S3 server with one bucket."""

    endpoint: str
    access_key: str
    secret_key: str
    bucket: str


class ServiceProvider(Protocol):
    """Starts what a test session asks for; `close` ends all of it. Failing to start raises StackError."""

    def postgres(self) -> PostgresAddresses:
        """Start PostgreSQL."""

    def rabbitmq(self) -> BrokerAddresses:
        """Start RabbitMQ."""

    def s3(self) -> StoreAddresses:
        """Start an S3 server."""

    def close(self) -> None:
        """Stop everything and take its data away."""
