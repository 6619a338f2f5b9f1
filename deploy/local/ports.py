"""Which loopback port belongs to whom, all derived from one base, so that checkouts run side by side.

Two checkouts whose bases lie 100 apart never meet. With base `B` (LEADS_PORT_BASE, default 8000):

| port        | who                         | port        | who                          |
|-------------|-----------------------------|-------------|------------------------------|
| B           | intake-api (HTTP API)       | B+30        | SeaweedFS S3                 |
| B+10        | PostgreSQL                  | B+31        | SeaweedFS S3 gRPC            |
| B+11        | RabbitMQ AMQP               | B+32, B+33  | SeaweedFS master, gRPC       |
| B+12        | RabbitMQ management         | B+34, B+35  | SeaweedFS volume, gRPC       |
| B+13        | Erlang port mapper (epmd)   | B+36, B+37  | SeaweedFS filer, gRPC        |
| B+14        | Erlang distribution         | B+38, B+39  | SeaweedFS admin, gRPC        |
| B+15        | RabbitMQ prometheus plugin  | B+40 ...    | intake-worker ops, 10        |
| B+25        | mail web page               | B+50 ...    | assignment-worker ops, 20    |
| B+26        | mail SMTP                   | B+70 ...    | mailer-worker ops, 20        |
| B+27        | mail IMAP                   | B+90 ...    | intake-api ops, 10           |
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from deploy.local.errors import StackError

DEFAULT_BASE = 8000
SPAN = 100
_HIGHEST_BASE = 65536 - SPAN

# process name -> (offset of its first ops port, how many of it can run)
_OPS: Mapping[str, tuple[int, int]] = {
    "intake-worker": (40, 10),
    "assignment-worker": (50, 20),
    "mailer-worker": (70, 20),
    "intake-api": (90, 10),
}


@dataclass(frozen=True, slots=True)
class SeaweedPorts:
    """Ports of the one SeaweedFS process, which plays five servers."""

    s3: int
    s3_grpc: int
    master: int
    master_grpc: int
    volume: int
    volume_grpc: int
    filer: int
    filer_grpc: int
    admin: int
    admin_grpc: int


@dataclass(frozen=True, slots=True)
class RabbitPorts:
    """Ports of one RabbitMQ node with its own Erlang port mapper."""

    amqp: int
    management: int
    epmd: int
    distribution: int
    prometheus: int


@dataclass(frozen=True, slots=True)
class MailPorts:
    """Ports of the development mail server."""

    web: int
    smtp: int
    imap: int


@dataclass(frozen=True, slots=True)
class PortPlan:
    """Every port of one stack."""

    base: int = DEFAULT_BASE

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> PortPlan:
        """Read LEADS_PORT_BASE; raise StackError when it is not a usable number."""
        text = environment.get("LEADS_PORT_BASE") or str(DEFAULT_BASE)
        if not text.isascii() or not text.isdigit() or not 1024 <= int(text) <= _HIGHEST_BASE:
            raise StackError(f"LEADS_PORT_BASE={text!r} is no port base: give a number from 1024 to {_HIGHEST_BASE}")
        return cls(int(text))

    @property
    def api(self) -> int:
        """Port of the HTTP API, shared by all intake-api processes."""
        return self.base

    @property
    def postgres(self) -> int:
        """Port of PostgreSQL."""
        return self.base + 10

    @property
    def rabbitmq(self) -> RabbitPorts:
        """Ports of RabbitMQ."""
        return RabbitPorts(*range(self.base + 11, self.base + 16))

    @property
    def mail(self) -> MailPorts:
        """Ports of the mail server."""
        return MailPorts(*range(self.base + 25, self.base + 28))

    @property
    def seaweedfs(self) -> SeaweedPorts:
        """Ports of SeaweedFS."""
        return SeaweedPorts(*range(self.base + 30, self.base + 40))

    def ops(self, process: str, index: int) -> int:
        """Ops port of the index-th process of a kind; raise StackError when there is no room for it."""
        offset, room = _OPS[process]
        if not 0 <= index < room:
            raise StackError(f"at most {room} {process} processes fit the port plan: ask for fewer")
        return self.base + offset + index


def free_ports(count: int) -> list[int]:
    """Ask the system for loopback ports that nobody uses now: for tests, which need no published ones."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
