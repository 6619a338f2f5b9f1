"""The relay: moves outbox rows to the broker, at least once, and deletes a row only after its confirm.

A row is claimed by its row lock (``FOR UPDATE SKIP LOCKED``), so that any number of relays share the
work and a crash frees the rows at once: there is no lease to wait for. A crash between confirm and
delete publishes the event again under the same id; inboxes absorb it. Rows that cannot even be made
into a message are parked with a reason and counted, and never block their neighbours.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence

import asyncpg
import structlog
from aio_pika.abc import AbstractChannel, AbstractExchange
from aio_pika.exceptions import AMQPError, PublishError

from service_chassis import telemetry
from service_chassis.broker_link import PublishingLink, confirmed
from service_chassis.database import LINK_ERRORS, connect
from service_chassis.outbox import CHANNEL
from service_chassis.outbox_message import OutboxRow, to_message
from service_chassis.pulse import Pulse
from service_chassis.settings import RELAY_IDLE_TRANSACTION_S, RelayGroup
from service_chassis.topology import declare

log = structlog.get_logger(__name__)

RECONNECT_S = 0.5
MEASURE_S = 5.0
COMMAND_S = 15.0

CLAIM = """
SELECT id, event_id, type, exchange, routing_key, correlation_id, headers, body, created_at
FROM outbox WHERE parked_at IS NULL AND next_attempt_at <= now()
ORDER BY next_attempt_at, id LIMIT $1 FOR UPDATE SKIP LOCKED
"""
DONE = "DELETE FROM outbox WHERE id = ANY($1::bigint[])"
LATER = """
UPDATE outbox SET attempts = attempts + 1, error = $2, next_attempt_at = clock_timestamp()
  + least(10, 0.5 * 2 ^ least(attempts, 10)) * (0.8 + random() * 0.4) * interval '1 second'
WHERE id = ANY($1::bigint[])
"""
PARK = "UPDATE outbox SET parked_at = now(), error = $2 WHERE id = $1"
BACKLOG = """
SELECT count(*) FILTER (WHERE parked_at IS NULL) AS waiting, count(*) FILTER (WHERE parked_at IS NOT NULL) AS parked,
  coalesce(extract(epoch FROM now() - min(created_at) FILTER (WHERE parked_at IS NULL)), 0)::float8 AS age
FROM outbox
"""


class Relay:
    """All lanes of one process. ``run`` ends when ``stop`` is set, or raises TopologyMismatchError."""

    def __init__(self, database_url: str, amqp_urls: str, settings: RelayGroup, app_id: str) -> None:
        self._lanes = [
            _Lane(database_url, PublishingLink(amqp_urls, declare), settings, app_id, number, self._wake_helpers)
            for number in range(settings.relay_lanes)
        ]

    @property
    def is_connected(self) -> bool:
        """Whether at least one lane has a broker link."""
        return any(lane.link.is_open for lane in self._lanes)

    def _wake_helpers(self) -> None:
        for lane in self._lanes[1:]:
            lane.wake.set()

    @property
    def pulses(self) -> dict[str, Pulse]:
        """A pulse for each lane; a healthy lane comes round every few seconds."""
        return {f"relay-lane-{lane.number}": lane.pulse for lane in self._lanes}

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until ``stop``, then go on until the outbox is empty or `relay_drain_timeout` is over."""
        async with asyncio.TaskGroup() as group:
            for lane in self._lanes:
                group.create_task(lane.run(stop), name=f"relay-lane-{lane.number}")


class _Lane:
    """One batch at a time.

    The first lane is woken by NOTIFY and calls the others when it meets a full batch; they look by
    themselves at every poll, too, should the first one hang.
    """

    def __init__(
        self,
        database_url: str,
        link: PublishingLink,
        settings: RelayGroup,
        app_id: str,
        number: int,
        on_backlog: Callable[[], None],
    ) -> None:
        self._database_url = database_url
        self.link = link
        self._settings = settings
        self._app_id = app_id
        self.number = number
        self._on_backlog = on_backlog
        self.wake = asyncio.Event()
        self.pulse = Pulse()
        self._declared_at = 0.0
        self._measured_at = 0.0
        self._broker_away = False

    async def run(self, stop: asyncio.Event) -> None:
        stopper = asyncio.create_task(_set_when(stop, self.wake), name="relay-stop")
        try:
            while not stop.is_set():
                await self._one_database_link(stop)
            await self._last_drain()
        finally:
            stopper.cancel()
            await self.link.drop()

    async def _one_database_link(self, stop: asyncio.Event) -> None:
        connection: asyncpg.Connection | None = None
        try:
            connection = await self._connect()
            if self.number == 0:
                await connection.add_listener(CHANNEL, lambda *_: self.wake.set())
            while not stop.is_set():
                self.wake.clear()
                wait = await self._turn(connection, stop)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self.wake.wait()
        except LINK_ERRORS as error:
            log.warning("relay_database_away", lane=self.number, **telemetry.log_fields(error))
            self.pulse.beat()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RECONNECT_S):
                    await stop.wait()
        finally:
            if connection is not None:
                connection.terminate()

    async def _turn(self, connection: asyncpg.Connection, stop: asyncio.Event) -> float:
        """Drain what is due; return the seconds to wait for the next look."""
        self.pulse.beat()
        try:
            await self._keep_topology()
            while await self._drain(connection) == self._settings.relay_batch and not stop.is_set():
                self.pulse.beat()
                self._on_backlog()
        except (AMQPError, ConnectionError, TimeoutError) as error:
            await self.link.drop()
            if not self._broker_away:
                log.warning("relay_broker_away", lane=self.number, **telemetry.log_fields(error))
            self._broker_away = True
            return RECONNECT_S
        finally:
            await self._measure(connection)
        if self._broker_away:
            log.info("relay_broker_back", lane=self.number)
            self._broker_away = False
        return self._settings.relay_poll_interval if self.link.is_open else RECONNECT_S

    async def _keep_topology(self) -> None:
        was_open = self.link.is_open
        await self.link.channel()
        now = time.monotonic()
        if was_open and now - self._declared_at > self._settings.topology_interval:
            await self.link.refresh()
        elif was_open:
            return
        self._declared_at = now

    async def _drain(self, connection: asyncpg.Connection) -> int:
        """Publish one batch; return its size, or 0 when there is no point in asking for the next one now.

        Rows that failed wait by their own clock: they hold nobody up while others go and the link stands.
        """
        channel = await self.link.channel()
        async with _whole_transaction(connection):
            rows: Sequence[OutboxRow] = await connection.fetch(CLAIM, self._settings.relay_batch)
            if not rows:
                return 0
            outcomes = await asyncio.gather(*(self._publish(channel, row) for row in rows), return_exceptions=True)
            failed = [(row, out) for row, out in zip(rows, outcomes, strict=True) if isinstance(out, BaseException)]
            done = [row["id"] for row, out in zip(rows, outcomes, strict=True) if out is True]
            malformed = [row for row, out in zip(rows, outcomes, strict=True) if out is False]
            await connection.execute(DONE, done)
            for row in malformed:
                await connection.execute(PARK, row["id"], "malformed")
            for name in {type(error).__name__ for _, error in failed}:
                ids = [row["id"] for row, error in failed if type(error).__name__ == name]
                await connection.execute(LATER, ids, name)
        for row, out in zip(rows, outcomes, strict=True):
            if out is True:
                telemetry.PUBLISHED.labels(row["type"]).inc()
        await self._account(failed, malformed)
        return len(rows) if not failed or (done and self.link.is_open) else 0

    async def _publish(self, channel: AbstractChannel, row: OutboxRow) -> bool:
        """Publish one row and wait for its confirm; False when no message can be made of it."""
        try:
            message = to_message(row, self._app_id)
        except (ValueError, TypeError, AttributeError):
            return False
        exchange: AbstractExchange = (
            await channel.get_exchange(row["exchange"], ensure=False) if row["exchange"] else channel.default_exchange
        )
        await confirmed(
            exchange.publish(message, row["routing_key"], mandatory=True),
            self._settings.relay_publish_timeout,
        )
        return True

    async def _account(self, failed: list[tuple[OutboxRow, BaseException]], malformed: list[OutboxRow]) -> None:
        """Count what did not go, and throw the link away unless every failure was a mere missing binding."""
        for row in malformed:
            telemetry.PARKED.inc()
            log.error("relay_row_parked", outbox_id=row["id"], event_id=row["event_id"], type=row["type"])
        unroutable = [row for row, error in failed if isinstance(error, PublishError)]
        for row in unroutable:
            telemetry.UNROUTABLE.labels(row["type"]).inc()
            log.error("relay_unroutable", event_id=row["event_id"], routing_key=row["routing_key"])
        if unroutable:
            self._declared_at = 0.0
        lost = [error for _, error in failed if not isinstance(error, PublishError)]
        for error in lost:
            telemetry.PUBLISH_FAILED.labels(type(error).__name__).inc()
        if lost:
            log.warning("relay_publish_failed", lane=self.number, count=len(lost), **telemetry.log_fields(lost[0]))
            await self.link.drop()

    async def _measure(self, connection: asyncpg.Connection) -> None:
        """Set the backlog gauges, now and then: counting a long backlog at every wake-up would slow it down."""
        if self.number != 0 or connection.is_closed() or time.monotonic() - self._measured_at < MEASURE_S:
            return
        self._measured_at = time.monotonic()
        backlog = await connection.fetchrow(BACKLOG)
        telemetry.OUTBOX_ROWS.set(backlog["waiting"])
        telemetry.OUTBOX_AGE.set(backlog["age"])
        telemetry.OUTBOX_PARKED.set(backlog["parked"])

    async def _last_drain(self) -> None:
        """Before the process ends: say what its last transactions have to say, if that is quick."""
        with contextlib.suppress(*LINK_ERRORS, AMQPError):  # what is left stays in the outbox for the next relay
            async with asyncio.timeout(self._settings.relay_drain_timeout):
                connection = await self._connect()
                try:
                    while await self._drain(connection):
                        pass
                finally:
                    connection.terminate()

    async def _connect(self) -> asyncpg.Connection:
        return await connect(
            self._database_url,
            f"{self._app_id} relay {self.number}",
            command_s=COMMAND_S,
            idle_transaction_s=RELAY_IDLE_TRANSACTION_S,
        )


@contextlib.asynccontextmanager
async def _whole_transaction(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """A transaction of one connection, which is thrown away when the database's answer did not come.

    asyncpg goes on in the transaction whose BEGIN or COMMIT got no answer: what was done next would never be committed.
    Raises InterfaceError then: a TimeoutError or ConnectionError would be taken for the broker's.
    """
    try:
        async with connection.transaction():
            yield
    except (TimeoutError, ConnectionError) as error:
        connection.terminate()
        raise asyncpg.InterfaceError("the database did not answer") from error


async def _set_when(event: asyncio.Event, other: asyncio.Event) -> None:
    await event.wait()
    other.set()
