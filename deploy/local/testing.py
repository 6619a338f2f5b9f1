"""Pytest fixtures that give tests the addresses of real services, and nothing else of them.

TEST_SERVICES chooses where they come from: `embedded` (the programs of `make run`), `docker` (testcontainers), or
`auto` (the default: docker where an engine answers within 2 s, else embedded). Each service starts when a test first
asks for it. One that cannot be started fails the test with the reason; nothing is skipped.
"""

from __future__ import annotations

import atexit
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from deploy.local.database_factory import DatabaseFactory
from deploy.local.docker_engine import engine_answers
from deploy.local.embedded_services import EmbeddedServices
from deploy.local.errors import StackError
from deploy.local.service_addresses import (
    BrokerAddresses,
    DatabaseAddresses,
    PostgresAddresses,
    ServiceName,
    ServiceProvider,
    StoreAddresses,
)

MigratedDatabase = Callable[[ServiceName], DatabaseAddresses]


def _provider(choice: str) -> ServiceProvider:
    if choice not in ("auto", "embedded", "docker"):
        raise StackError(f"TEST_SERVICES={choice!r}: choose auto, embedded or docker")
    docker = choice != "embedded" and engine_answers()
    if choice == "docker" and not docker:
        raise StackError("TEST_SERVICES=docker, but no Docker engine answers: start one, or choose embedded")
    if docker:
        from deploy.local.docker_services import DockerServices  # noqa: PLC0415 - its library is slow to import

        return DockerServices()
    return EmbeddedServices()


@pytest.fixture(scope="session")
def service_provider() -> Iterator[ServiceProvider]:
    """Whoever starts services in this session; ends them with it, also when pytest is interrupted."""
    provider = _provider(os.environ.get("TEST_SERVICES") or "auto")
    atexit.register(provider.close)
    yield provider
    provider.close()
    atexit.unregister(provider.close)


@pytest.fixture(scope="session")
def postgres_server(service_provider: ServiceProvider) -> PostgresAddresses:
    """A PostgreSQL server with the roles of all services; for databases ask `migrated_database`."""
    return service_provider.postgres()


@pytest.fixture(scope="session")
def rabbitmq_server(service_provider: ServiceProvider) -> BrokerAddresses:
    """A broker, shared by the session: a test that stops it starts it again."""
    return service_provider.rabbitmq()


@pytest.fixture(scope="session")
def s3_server(service_provider: ServiceProvider) -> StoreAddresses:
    """An S3 server with one bucket, shared by the session."""
    return service_provider.s3()


@pytest.fixture(scope="session")
def database_factory(postgres_server: PostgresAddresses) -> DatabaseFactory:
    """Makes and drops databases; most tests want `migrated_database`."""
    return DatabaseFactory(postgres_server)


@pytest.fixture
def migrated_database(database_factory: DatabaseFactory) -> Iterator[MigratedDatabase]:
    """Call it with a service's package name: a fresh database as its migrations leave it, dropped afterwards."""
    with ExitStack() as stack:

        def create(service: ServiceName) -> DatabaseAddresses:
            name, addresses = database_factory.create(service)
            stack.callback(database_factory.drop, name)
            return addresses

        yield create


@pytest.fixture
def amqp_vhost(rabbitmq_server: BrokerAddresses) -> Iterator[str]:
    """The address of a virtual host of the test's own, deleted afterwards."""
    name = f"t-{uuid.uuid4().hex}"
    rabbitmq_server.management.create_vhost(name)
    yield rabbitmq_server.vhost_url(name)
    rabbitmq_server.management.delete_vhost(name)
