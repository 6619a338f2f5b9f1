"""Services for a test session from the machine's own programs, in a folder and on ports of their own."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil

from deploy.local import leftovers
from deploy.local.errors import StackError
from deploy.local.layout import TOOLS, Home
from deploy.local.ports import RabbitPorts, SeaweedPorts, free_ports
from deploy.local.postgres import PostgresServer
from deploy.local.rabbitmq import RabbitNode
from deploy.local.seaweedfs import BUCKET, SeaweedServer
from deploy.local.secrets_file import load_or_create
from deploy.local.service import Service
from deploy.local.service_addresses import BrokerAddresses, DatabaseAddresses, PostgresAddresses, StoreAddresses

_MEMORY = Path("/dev/shm")  # noqa: S108 - Linux's folder in memory; what we make in it is for our eyes only
_MEMORY_NEEDED = 4 * 1024**3


def session_folder(kind: str) -> Path:
    """Where test sessions of a kind have their folders: in memory where there is enough, else in `.local/`.

    Each test has databases of its own, and ext4 is slow to make files where others were deleted in the last seconds:
    on disk a third of a session's time went there.
    """
    with suppress(OSError):
        if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _MEMORY_NEEDED:
            checkout = hashlib.sha256(str(TOOLS).encode()).hexdigest()[:8]
            return _MEMORY / f"leads-{kind}-{os.getuid()}-{checkout}"
    return TOOLS / kind


_FOLDER = session_folder("test-services")


class EmbeddedServices:
    """Starts services on demand; `close` stops them. Data is forgotten on a crash, on purpose: it is quicker."""

    def __init__(self) -> None:
        _FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _FOLDER.stat().st_uid != os.getuid():
            raise StackError(f"{_FOLDER} belongs to another user: have it removed")
        _clear_away_dead_sessions()
        self._home = Home(Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=_FOLDER)))
        self._home.create()
        self._secrets = load_or_create(self._home)
        self._started: list[Service] = []

    def postgres(self) -> PostgresAddresses:
        """Start PostgreSQL without its care for power failures."""
        server = PostgresServer(self._home, free_ports(1)[0], self._secrets, durable=False)
        self._start(server)

        def database(owner_of: str, name: str) -> DatabaseAddresses:
            return DatabaseAddresses(server.url(f"{owner_of}_owner", name), server.url(f"{owner_of}_app", name))

        return PostgresAddresses(server.admin_url, database)

    def rabbitmq(self) -> BrokerAddresses:
        """Start a RabbitMQ node."""
        node = RabbitNode(self._home, RabbitPorts(*free_ports(5)), self._secrets.rabbitmq)
        self._start(node)

        def start() -> None:
            if node.exit_status() is not None:
                node.start()
            node.wait_ready()

        return BrokerAddresses(node.amqp_url, node.management_url, node.management, node.stop, node.kill, start)

    def s3(self) -> StoreAddresses:
        """Start SeaweedFS."""
        access, secret = self._secrets.s3_access_key, self._secrets.s3_secret_key
        server = SeaweedServer(self._home, SeaweedPorts(*free_ports(10)), access, secret)
        self._start(server)
        return StoreAddresses(server.endpoint, access, secret, BUCKET)

    def close(self) -> None:
        """End everything, then take the folder away. The broker has nothing worth its seconds of an orderly stop."""
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, self._home.folder, ignore_errors=True)
            for service in self._started:
                stack.callback(service.kill if isinstance(service, RabbitNode) else service.stop)
        self._started.clear()

    def _start(self, service: Service) -> None:
        self._started.append(service)
        service.start()
        service.wait_ready()


def _clear_away_dead_sessions() -> None:
    """End the services of sessions that were killed, and take their folders away."""
    for folder in _FOLDER.iterdir():
        owner = folder.name.partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            leftovers.stop(Home(folder))
            shutil.rmtree(folder, ignore_errors=True)
