"""The parts of an integration test: databases, sessions, relay and consumer, made as it needs them."""

import asyncio
import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import aio_pika
import asyncpg
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from service_chassis import outbox
from service_chassis.consumer import Consumer
from service_chassis.database import Sessions
from service_chassis.hearing import Subscription
from service_chassis.relay import Relay
from service_chassis.settings import ConsumerGroup, RelayGroup
from shared_schemas.events import AttorneyChanged, MessageDeadLettered
from shared_schemas.topology import ASSIGNMENT_ROSTER

from deploy.local.service_addresses import BrokerAddresses, DatabaseAddresses

from .waiting import until

ROSTER = ASSIGNMENT_ROSTER.name


def changed(name: str = "Grace Hopper", version: int = 1) -> AttorneyChanged:
    """An event; scripted handlers act on its ``name``."""
    return AttorneyChanged(
        attorney_id=uuid4(), version=version, name=name, email="grace.hopper@firm.example", available=True
    )


@dataclass
class Bench:
    """One test's database and virtual host, and ways to look at them from outside."""

    database: DatabaseAddresses
    admin_url: str
    amqp_url: str
    broker: BrokerAddresses
    sessions: Sessions
    sql: "asyncpg.Pool[asyncpg.Record]"
    channel: AbstractChannel

    @property
    def vhost(self) -> str:
        return self.amqp_url.rpartition("/")[2]

    async def as_admin(self, statement: str) -> int:
        """Run a statement as the server's administrator, in this database; give its first value."""
        connection = await asyncpg.connect(self.admin_url)
        try:
            return int(await connection.fetchval(statement) or 0)
        finally:
            await connection.close()

    @contextlib.asynccontextmanager
    async def as_admin_many(self) -> AsyncIterator[Callable[[str], Awaitable[object]]]:
        """Statements over one connection of the server's administrator."""
        connection = await asyncpg.connect(self.admin_url)
        try:
            yield connection.fetchval
        finally:
            await connection.close()

    async def end_connections(self, application: str) -> int:
        """End the database connections of an application, as a failover would; give how many."""
        return await self.as_admin(
            f"""SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name LIKE '{application}'"""  # noqa: S608 - the tests' own
        )

    async def count(self, table: str) -> int:
        return int(await self.sql.fetchval(f"SELECT count(*) FROM {table}"))  # noqa: S608 - the tests' own names

    async def effects(self) -> list[str]:
        return [row["note"] for row in await self.sql.fetch("SELECT note FROM effects ORDER BY id")]

    async def dead_letters(self) -> list[MessageDeadLettered]:
        """What was given up, as the outbox holds it."""
        rows = await self.sql.fetch("SELECT body FROM outbox WHERE type = $1 ORDER BY id", MessageDeadLettered.type)
        return [MessageDeadLettered.model_validate_json(row["body"]) for row in rows]

    async def say(self, *events: AttorneyChanged) -> list[UUID]:
        """Write events to the outbox, one transaction each."""
        ids = []
        for event in events:
            async with self.sessions.begin() as session:
                ids.append(await outbox.add(session, event))
        return ids

    async def publish(
        self,
        event: AttorneyChanged | None = None,
        *,
        body: bytes = b"",
        message_id: str | None = "",
        message_type: str | None = AttorneyChanged.type,
        headers: dict[str, Any] | None = None,
        queue: str = ROSTER,
    ) -> str:
        """Publish straight to a queue; give the message id (a new one unless given)."""
        content = event.model_dump_json().encode() if event else body
        if message_id is None:
            self._publish_without_id(content, queue, message_type)
            return ""
        message_id = message_id or str(uuid4())
        message = aio_pika.Message(
            content,
            message_id=message_id,
            type=message_type,
            headers=headers or {},
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        await self.channel.default_exchange.publish(message, queue, mandatory=True)
        return message_id

    def _publish_without_id(self, content: bytes, queue: str, message_type: str | None) -> None:
        """By way of the management API: our client library makes up an id where there is none."""
        body = {
            "properties": {"delivery_mode": 2, "type": message_type},
            "routing_key": queue,
            "payload": b64encode(content).decode(),
            "payload_encoding": "base64",
        }
        path = f"/api/exchanges/{quote(self.vhost, safe='')}/amq.default/publish"
        assert self.broker.management.call("POST", path, body) == 200

    async def waiting(self) -> tuple[int, int]:
        """Messages that wait in the roster's two queues (not those in hand), and consumers."""
        found = [
            (await self.channel.declare_queue(name, passive=True)).declaration_result
            for name in (ROSTER, ASSIGNMENT_ROSTER.retry_name)
        ]
        return sum(queue.message_count or 0 for queue in found), found[0].consumer_count or 0

    async def take(self, queue: str = ROSTER) -> AbstractIncomingMessage | None:
        """Take one message off a queue."""
        return await (await self.channel.get_queue(queue, ensure=False)).get(fail=False, no_ack=True)

    async def take_all(self, queue: str, at_least: int, within: float = 15.0) -> list[AbstractIncomingMessage]:
        """Take messages until the queue is empty and there were ``at_least`` different ones."""
        taken: list[AbstractIncomingMessage] = []

        async def keep(message: AbstractIncomingMessage) -> None:
            taken.append(message)

        work_queue = await self.channel.get_queue(queue, ensure=False)
        tag = await work_queue.consume(keep, no_ack=True)
        try:
            await until(lambda: len({message.message_id for message in taken}), lambda ids: ids >= at_least, within)
        finally:
            await work_queue.cancel(tag)
        while (message := await self.take(queue)) is not None:
            taken.append(message)
        return taken

    def relay(
        self, *, url: str | None = None, database_url: str | None = None, app_id: str = "test", **changes: Any
    ) -> Relay:
        quick = RelayGroup(**{"relay_poll_interval": 0.1, "relay_publish_timeout": 2.0, **changes})
        return Relay(database_url or self.database.app_url, url or self.amqp_url, quick, app_id)

    @contextlib.asynccontextmanager
    async def relaying(self, **changes: Any) -> AsyncIterator[Relay]:
        """A relay that runs meanwhile, and ends in order afterwards."""
        relay, stop = self.relay(**changes), asyncio.Event()
        task = asyncio.create_task(relay.run(stop))
        try:
            yield relay
        finally:
            stop.set()
            await asyncio.wait_for(task, 15)

    @contextlib.asynccontextmanager
    async def consuming(
        self,
        subscription: Subscription,
        *,
        url: str | None = None,
        sessions: Sessions | None = None,
        probe: Callable[[], Awaitable[None]] | None = None,
        **changes: Any,
    ) -> AsyncIterator[Consumer]:
        """A consumer that runs meanwhile, and ends in order afterwards."""

        async def always_there() -> None:
            return

        consumer = Consumer(
            url or self.amqp_url,
            [subscription],
            sessions or self.sessions,
            ConsumerGroup(**changes),
            probe or always_there,
            "test",
        )
        stop = asyncio.Event()
        task = asyncio.create_task(consumer.run(stop))
        try:
            await until(lambda: consumer.is_connected)
            yield consumer
        finally:
            stop.set()
            await asyncio.wait_for(task, 30)
