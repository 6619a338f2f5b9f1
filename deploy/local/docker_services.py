"""Services for a test session as containers, through testcontainers."""

from __future__ import annotations

from contextlib import ExitStack

from testcontainers.community.postgres import PostgresContainer
from testcontainers.core.container import DockerContainer

from deploy.local.layout import ROOT
from deploy.local.ports import free_ports
from deploy.local.postgres import DATABASES
from deploy.local.rabbitmq_management import Management
from deploy.local.seaweedfs import BUCKET
from deploy.local.service_addresses import BrokerAddresses, DatabaseAddresses, PostgresAddresses, StoreAddresses
from deploy.local.waiting import answers_ok, wait_until

POSTGRES_IMAGE = "postgres:17"
RABBITMQ_IMAGE = "rabbitmq:4-management"
SEAWEEDFS_IMAGE = "chrislusf/seaweedfs:4.48"
_PASSWORD = "for-tests-only"  # noqa: S105 - of containers that live for one session
_USER = "leads"
_ACCESS_KEY = "leadstests"
_S3, _FILER = 8333, 8888


class DockerServices:
    """Starts containers on demand; `close` removes them."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def postgres(self) -> PostgresAddresses:
        """Start PostgreSQL with the same databases and roles as everywhere."""
        container = PostgresContainer(
            POSTGRES_IMAGE, username=_USER, password=_PASSWORD, dbname="postgres", driver=None
        )
        for database in DATABASES:
            for kind in ("OWNER", "APP"):
                container.with_env(f"{database.upper()}_{kind}_PASSWORD", _PASSWORD)
        container.with_volume_mapping(str(ROOT / "deploy" / "postgres"), "/docker-entrypoint-initdb.d", "ro")
        container.with_command("postgres -c fsync=off -c synchronous_commit=off -c full_page_writes=off")
        self._stack.enter_context(container)
        place = f"{container.get_container_host_ip()}:{container.get_exposed_port(5432)}"

        def database_addresses(owner_of: str, name: str) -> DatabaseAddresses:
            urls = [f"postgresql://{owner_of}_{kind}:{_PASSWORD}@{place}/{name}" for kind in ("owner", "app")]
            return DatabaseAddresses(*urls)

        return PostgresAddresses(f"postgresql://{_USER}:{_PASSWORD}@{place}/postgres", database_addresses)

    def rabbitmq(self) -> BrokerAddresses:
        """Start RabbitMQ with its management plugin, on ports that stay the same over a restart."""
        amqp, web = free_ports(2)
        container = DockerContainer(RABBITMQ_IMAGE).with_bind_ports(5672, amqp).with_bind_ports(15672, web)
        container.with_env("RABBITMQ_DEFAULT_USER", _USER).with_env("RABBITMQ_DEFAULT_PASS", _PASSWORD)
        self._stack.enter_context(container)
        host = container.get_container_host_ip()
        management = Management(f"http://{host}:{web}", _USER, _PASSWORD)
        wait_until(management.answers, within=60, what=f"{RABBITMQ_IMAGE}: its management API does not answer")
        wrapped = container.get_wrapped_container()

        def start() -> None:
            wrapped.start()
            wait_until(management.answers, within=60, what=f"{RABBITMQ_IMAGE} does not come back")

        return BrokerAddresses(
            f"amqp://{_USER}:{_PASSWORD}@{host}:{amqp}/", management.url, management, wrapped.stop, wrapped.kill, start
        )

    def s3(self) -> StoreAddresses:
        """Start SeaweedFS with keys, without which everyone is let in."""
        container = DockerContainer(SEAWEEDFS_IMAGE)
        container.with_env("AWS_ACCESS_KEY_ID", _ACCESS_KEY).with_env("AWS_SECRET_ACCESS_KEY", _PASSWORD)
        container.with_command(f"mini -dir=/data -bucket={BUCKET} -s3.port={_S3} -filer.port={_FILER}")
        container.with_exposed_ports(_S3, _FILER)
        self._stack.enter_context(container)
        host = container.get_container_host_ip()
        s3, filer = (int(container.get_exposed_port(port)) for port in (_S3, _FILER))

        def is_ready() -> bool:  # the bucket is made a moment after the gateway answers
            return answers_ok(s3, "/healthz", host) and answers_ok(filer, f"/buckets/{BUCKET}/", host)

        wait_until(is_ready, within=60, what=f"{SEAWEEDFS_IMAGE} does not answer, or has no bucket")
        endpoint = f"http://{host}:{s3}"
        return StoreAddresses(endpoint, _ACCESS_KEY, _PASSWORD, BUCKET)

    def close(self) -> None:
        """Stop and remove the containers."""
        self._stack.close()
