"""What the integration tests share: waiting with a deadline, a TCP proxy that misbehaves, and a test's parts."""

import asyncio
import contextlib
import re
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar
from urllib.parse import quote, urlsplit
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

Seen = TypeVar("Seen")

ROSTER = ASSIGNMENT_ROSTER.name


async def eventually(look: Callable[[], Awaitable[Seen]], right: Callable[[Seen], bool], within: float = 15.0) -> Seen:
    """Look until what is seen is right; give it. Fails with what was seen last."""
    deadline = time.monotonic() + within
    while True:
        seen = await look()
        if right(seen):
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not right after {within:g} s; last seen: {seen!r}")
        await asyncio.sleep(0.02)


async def until(look: Callable[[], Seen], right: Callable[[Seen], bool] = bool, within: float = 15.0) -> Seen:
    """`eventually` for what can be seen without waiting."""

    async def looking() -> Seen:
        return look()

    return await eventually(looking, right, within)


class FaultProxy:
    """A TCP hop that passes, holds back, or resets. ``arm`` does so at the bytes that mean "has reached this step"."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._url, self._target = url, (address.hostname or "127.0.0.1", address.port or 0)
        self._open = asyncio.Event()
        self._open.set()
        self._refusing = False
        self._trigger: tuple[str, re.Pattern[bytes]] | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.hit = asyncio.Event()
        self.accepted = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """The target's address by way of this proxy."""
        return self._url.replace(f"@{urlsplit(self._url).netloc.rpartition('@')[2]}", f"@127.0.0.1:{self._port}", 1)

    def arm(self, side: Literal["sent", "answered"], pattern: bytes) -> None:
        """Freeze when ``pattern`` passes in that direction; the bytes are held back."""
        self.hit.clear()
        self._trigger = (side, re.compile(pattern, re.DOTALL))

    def freeze(self) -> None:
        self._open.clear()

    def cut(self) -> None:
        """Reset every connection; what was held back is gone."""
        for writer in list(self._writers):
            writer.transport.abort()

    def refuse(self) -> None:
        self._refusing = True
        self.cut()

    def heal(self) -> None:
        self._trigger, self._refusing = None, False
        self._open.set()

    @property
    def connections(self) -> int:
        return len(self._writers) // 2

    async def close(self) -> None:
        self._server.close()
        self.refuse()
        self._open.set()
        await asyncio.gather(*self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._refusing:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        try:
            await asyncio.gather(
                self._pump("sent", reader, far_writer),
                self._pump("answered", far_reader, writer),
                return_exceptions=True,
            )
        finally:
            self._writers -= {writer, far_writer}
            writer.transport.abort()
            far_writer.transport.abort()

    async def _pump(self, side: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tail = b""
        try:
            while data := await reader.read(65536):
                if self._trigger and self._trigger[0] == side:
                    tail = (tail + data)[-8192:]
                    if self._trigger[1].search(tail):
                        self._trigger = None
                        self.freeze()
                        self.hit.set()
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def proxied(url: str) -> AsyncIterator[FaultProxy]:
    proxy = FaultProxy(url)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.close()


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
