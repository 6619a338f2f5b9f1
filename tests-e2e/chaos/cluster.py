"""Three RabbitMQ nodes on loopback that form a cluster by themselves, and a publisher that times their confirms."""

import asyncio
import itertools
import os
import secrets
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aio_pika
import httpx
from aio_pika.abc import AbstractExchange
from aio_pika.exceptions import QueueEmpty

from deploy.local.errors import StackError
from deploy.local.layout import Home
from deploy.local.port_mapper import PortMapper
from deploy.local.ports import RabbitPorts, free_ports
from deploy.local.rabbitmq import USER, RabbitNode
from deploy.local.rabbitmq_binaries import find_or_unpack
from deploy.local.waiting import wait_until

LETTERS = ("a", "b", "c")
QUICK_FIGURES = "collect_statistics_interval = 500"
"""Figures of messages in hand are half a second old instead of five."""
_FORMED_WITHIN = 90.0
_PROBE_TIMEOUT_S = 1.0
_PROBE_PAUSE_S = 0.01


class ClusterNode(RabbitNode):
    """One node. All share a port mapper and a cookie, and find each other by name."""

    ready_within = 90.0

    def __init__(self, home: Home, ports: RabbitPorts, password: str, letter: str, mapper: PortMapper) -> None:
        node = f"leads{letter}@localhost"
        super().__init__(home, ports, password, name=f"rabbitmq-{letter}", node=node, shared_mapper=mapper)

    @property
    def kind_name(self) -> str:
        return "rabbitmq"

    def more_configuration(self) -> list[str]:
        names = [
            f"cluster_formation.classic_config.nodes.{number} = leads{letter}@localhost"
            for number, letter in enumerate(LETTERS, start=1)
        ]
        return [
            QUICK_FIGURES,
            "cluster_formation.peer_discovery_backend = classic_config",
            *names,
            "cluster_partition_handling = pause_minority",
            "net_ticktime = 10",
        ]

    def environment(self) -> Mapping[str, str]:
        return {**super().environment(), "HOME": str(cookie_folder(self.home))}


def cookie_folder(home: Home) -> Path:
    """Where the cluster's Erlang cookie lies."""
    return home.data / "rabbitmq-cookie"


class Cluster:
    """The three nodes."""

    def __init__(self, home: Home, password: str) -> None:
        self._home = home
        self._password = password
        epmd, *rest = free_ports(1 + 4 * len(LETTERS))
        self.mapper = PortMapper(home, epmd)
        self.nodes = [
            ClusterNode(home, RabbitPorts(amqp, management, epmd, distribution, prometheus), password, one, self.mapper)
            for one, amqp, management, distribution, prometheus in zip(
                LETTERS, rest[0::4], rest[1::4], rest[2::4], rest[3::4], strict=True
            )
        ]
        self.away: set[str] = set()
        """Nodes that live and cannot be asked."""

    @property
    def amqp_urls(self) -> str:
        """As `AMQP_URL` names several nodes."""
        return ",".join(node.amqp_url for node in self.nodes)

    @property
    def contact(self) -> RabbitNode:
        """The first node that can be asked; the first of all when none can."""
        living = [node for node in self.nodes if node.pids() and node.node not in self.away]
        return (living or self.nodes)[0]

    def named(self, name: str) -> ClusterNode:
        """The node of an Erlang name."""
        return next(node for node in self.nodes if node.node == name)

    def start(self) -> None:
        """Start all nodes and wait until they are one cluster; raise StackError when they are not."""
        folder = cookie_folder(self._home)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        cookie = folder / ".erlang.cookie"
        if not cookie.exists():  # each node would make its own
            cookie.write_text(secrets.token_hex(16), encoding="ascii")
            cookie.chmod(0o400)
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_ready()
        wait_until(self._is_whole, within=_FORMED_WITHIN, what="the RabbitMQ nodes do not form a cluster")

    def _is_whole(self) -> bool:
        try:
            response = httpx.get(
                f"{self.contact.management_url}/api/nodes", auth=(USER, self._password), timeout=5, trust_env=False
            )
            running = [one for one in response.json() if one["running"]]
        except (httpx.HTTPError, ValueError):
            return False
        return len(running) == len(self.nodes)

    async def evaluate(self, node: ClusterNode, expression: str) -> str:
        """Run an Erlang expression on a node; StackError with its words when it fails."""
        process = await asyncio.create_subprocess_exec(
            str(find_or_unpack().server.with_name("rabbitmqctl")),
            *("-n", node.node, "eval", expression),
            env={**os.environ, **node.environment()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode != 0:
            raise StackError(f"{node.node}: {output.decode(errors='replace')[-500:]}")
        return output.decode(errors="replace")

    async def isolate(self, node: ClusterNode) -> None:
        """Cut a node's links to the others; they stay refused until `rejoin`."""
        await self.evaluate(
            node,
            f"[begin erlang:set_cookie(N, cut), erlang:disconnect_node(N) end || N <- [{self._others(node)}]].",
        )

    async def rejoin(self, node: ClusterNode) -> None:
        """Let a node speak to the others again."""
        await self.evaluate(node, f"[erlang:set_cookie(N, erlang:get_cookie()) || N <- [{self._others(node)}]].")

    def _others(self, node: ClusterNode) -> str:
        return ",".join(one.node for one in self.nodes if one is not node)


@dataclass
class ConfirmProbe:
    """Publishes one message after the other to a quorum queue, over plain connections of its own.

    It throws its link away after a nack, a timeout or a loss, and dials the next node, as a good client does.
    """

    urls: str
    queue: str = field(default_factory=lambda: f"chaos.probe.{uuid.uuid4().hex[:8]}")
    confirms: list[tuple[float, float, str]] = field(default_factory=list)
    """When it was sent, when the confirm came (monotonic seconds), and the message's id."""
    failures: list[str] = field(default_factory=list)

    async def declare(self, leader_url: str) -> None:
        """Make the queue; its leader is the node that is asked (queue-leader-locator client-local)."""
        connection = await aio_pika.connect(leader_url, timeout=10)
        async with connection:
            channel = await connection.channel()
            await channel.declare_queue(
                self.queue,
                durable=True,
                arguments={
                    "x-queue-type": "quorum",
                    "x-quorum-initial-group-size": len(LETTERS),
                    "x-queue-leader-locator": "client-local",
                },
            )

    async def run(self) -> None:
        """Publish until cancelled."""
        own = asyncio.current_task()
        for url in itertools.cycle(self.urls.split(",")):
            try:
                async with _link(url) as exchange:
                    while True:
                        await self._publish(exchange)
                        await asyncio.sleep(_PROBE_PAUSE_S)
            except asyncio.CancelledError as error:  # a dying link cancels whoever waits on it, too
                if own and own.cancelling():
                    raise
                self.failures.append(type(error).__name__)
            except Exception as error:  # whatever it is, a probe goes on, and tells how often
                self.failures.append(type(error).__name__)
            await asyncio.sleep(_PROBE_PAUSE_S)

    async def _publish(self, exchange: AbstractExchange) -> None:
        sent, name = time.monotonic(), uuid.uuid4().hex
        message = aio_pika.Message(b"", message_id=name, delivery_mode=aio_pika.DeliveryMode.PERSISTENT, type="probe")
        async with asyncio.timeout(_PROBE_TIMEOUT_S):
            await exchange.publish(message, self.queue)
        self.confirms.append((sent, time.monotonic(), name))

    def first_after(self, instant: float) -> float | None:
        """Seconds from an instant to the first confirm of what was sent after it; None when there is none yet."""
        return next((at - instant for sent, at, _ in self.confirms if sent >= instant), None)

    def longest_gap(self) -> float:
        """The longest time without a confirm, in seconds."""
        times = [at for _, at, _ in self.confirms]
        return max((later - earlier for earlier, later in itertools.pairwise(times)), default=0.0)

    async def lost(self, url: str) -> int:
        """How many confirmed messages are not in the queue; deletes it."""
        found: set[str] = set()
        connection = await aio_pika.connect(url, timeout=10)
        async with connection:
            channel = await connection.channel()
            queue = await channel.get_queue(self.queue)
            try:
                while True:
                    message = await queue.get(no_ack=True)
                    found.add(message.message_id or "")
            except QueueEmpty:
                pass  # read to its end
            await queue.delete(if_unused=False, if_empty=False)
        return len({name for _, _, name in self.confirms} - found)


@asynccontextmanager
async def _link(url: str) -> AsyncIterator[AbstractExchange]:
    """The default exchange of a channel with confirms; closed in a moment, or left to the broker to notice."""
    async with asyncio.timeout(_PROBE_TIMEOUT_S):
        connection = await aio_pika.connect(url)
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_S):
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        yield channel.default_exchange
    finally:
        with suppress(Exception):  # a broken link may fail to close in any way
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                await connection.close()
