"""A TCP proxy for one hop that can be made to fail at the very bytes that mean "has reached step X".

Modes of a hop: `pass`, `blackhole` (nothing goes through, nothing is refused), `cut` (refused, RST) and `latency`.
A `Trap` springs once, at the first proxy that it is set on whose traffic shows its pattern for the wanted time.
Held bytes are forwarded by `heal` ("delivered after the client gave up"); `cut` makes them vanish.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Side = Literal["c2s", "s2c"]
Mode = Literal["pass", "blackhole", "cut", "latency"]
Action = Literal["freeze", "freeze_connection", "freeze_after", "cut", "swallow_reply_then_cut", "notice"]
"""freeze: the hop stops before these bytes. freeze_connection: only the connection that carried them does.
freeze_after: they still go through, then the hop stops. cut: the hop is cut instead of forwarding them.
swallow_reply_then_cut: they go through, the answer does not and its arrival cuts the hop. notice: nothing happens."""

_TAIL = 4096

# What the bytes mean. AMQP 0-9-1 s. 2.3.5: frame type, channel, size, class and method.
COMMIT = rb"COMMIT;\x00"
COMMITTED = rb"COMMIT\x00"
PUBLISH = rb"\x01..\x00\x00..\x00\x3c\x00\x28"
DELIVER = rb"\x01..\x00\x00..\x00\x3c\x00\x3c"
ACK = rb"\x01..\x00\x00\x00\x0d\x00\x3c\x00\x50"
"""From the client: a consumer's ack. From the broker: a confirm."""
RETURN = rb"\x01..\x00\x00..\x00\x3c\x00\x32"
SETTLE = rb"\x01..\x00\x00\x00\x0d\x00\x3c\x00[\x50\x5a\x78]"
"""A consumer's ack, reject or nack."""
REDELIVER = DELIVER + rb".[ -~]+\x00.{7}\x01"
"""A delivery whose redelivered bit is set: consumer tag, delivery tag (below 2^56), bit."""
MAIL_END = rb"\r\n\.\r\n"


@dataclass(eq=False)
class Trap:
    """Springs once. ``skip`` matches are let through before; ``then`` runs at once, before a byte goes further."""

    side: Side
    pattern: bytes
    action: Action = "freeze"
    skip: int = 0
    then: "Callable[[FaultProxy], None] | None" = None
    hit: asyncio.Event = field(default_factory=asyncio.Event)
    at: "FaultProxy | None" = None

    def __post_init__(self) -> None:
        self.regex = re.compile(self.pattern, re.DOTALL)

    def wants(self, side: Side) -> bool:
        return self.side == side and self.at is None

    def counts_down(self, proxy: "FaultProxy") -> bool:
        """One match was seen; tells whether it springs the trap."""
        if self.skip > 0:
            self.skip -= 1
            return False
        self.at = proxy
        self.hit.set()
        if self.then:
            self.then(proxy)
        return True


@dataclass(eq=False)
class Tally:
    """Counts matches of a pattern in one direction, on every proxy that it is given to."""

    side: Side
    pattern: bytes
    count: int = 0

    def __post_init__(self) -> None:
        self.regex = re.compile(self.pattern, re.DOTALL)


class _Scanner:
    """Finds each match in a stream once, also where it lies across two reads."""

    def __init__(self, regex: re.Pattern[bytes]) -> None:
        self._regex = regex
        self._tail = b""

    def matches(self, data: bytes) -> int:
        seen, place, found = self._tail + data, 0, 0
        while match := self._regex.search(seen, place):
            place, found = max(match.end(), place + 1), found + 1
        self._tail = seen[max(place, len(seen) - _TAIL) :]
        return found


class _Connection:
    def __init__(self) -> None:
        self.writers: list[asyncio.StreamWriter] = []
        self.task: asyncio.Task[object] | None = None
        self.is_mute = False
        self.outward_port = 0
        self.thaw = asyncio.Event()
        self.thaw.set()


class FaultProxy:
    """The proxy of one hop, from a port of its own to ``host``:``port``."""

    def __init__(self, host: str, port: int, name: str = "") -> None:
        self.name = name
        self.destination = (host, port)
        self.port = 0
        self.delay = 0.0
        self.tallies: list[Tally] = []
        self._mode: Mode = "pass"
        self._flows = asyncio.Event()
        self._flows.set()
        self._traps: list[Trap] = []
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    def __repr__(self) -> str:
        return f"<hop {self.name}>"

    async def start(self) -> "FaultProxy":
        """Listen on a free loopback port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._server:
            self._server.close()
        tasks = [one.task for one in self._connections if one.task]
        self.cut()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def mode(self) -> Mode:
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._mode = mode
        if mode == "blackhole":
            self._flows.clear()
        else:
            self._flows.set()
        if mode == "cut":
            self.cut()

    @property
    def outward_ports(self) -> set[int]:
        """Our ports of the connections to the destination: as what it knows each of its clients."""
        return {port for connection in self._connections if (port := connection.outward_port)}

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def set(self, trap: Trap) -> Trap:
        """Lay a trap; it is a trap of every proxy that it was laid on, until it springs."""
        self._traps.append(trap)
        return trap

    def arm(self, side: Side, pattern: bytes, action: Action, *, skip: int = 0) -> Trap:
        """Lay a new trap here only."""
        return self.set(Trap(side, pattern, action, skip))

    def lift(self, trap: Trap) -> None:
        """Take one trap away, if it is laid here."""
        if trap in self._traps:
            self._traps.remove(trap)

    def cut(self) -> None:
        """End every connection with an RST; what was held is gone."""
        for connection in list(self._connections):
            self._abort(connection)

    def heal(self) -> None:
        """Let everything through again, the held bytes first, and take the traps away."""
        self._traps.clear()
        for connection in self._connections:
            connection.thaw.set()
        self.mode = "pass"

    def _abort(self, connection: _Connection) -> None:
        for writer in connection.writers:
            writer.transport.abort()
        if connection.task:
            connection.task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection()
        connection.writers.append(writer)
        connection.task = asyncio.current_task()
        self._connections.add(connection)
        try:
            if self._mode == "cut":
                return
            there, back = await asyncio.open_connection(*self.destination)
            connection.writers.append(back)
            connection.outward_port = back.get_extra_info("sockname")[1]
            await asyncio.gather(
                self._pump("c2s", reader, back, connection),
                self._pump("s2c", there, writer, connection),
                return_exceptions=True,
            )
        except (OSError, asyncio.CancelledError):
            pass  # nobody there, or cut by us: either way this connection is over, and it ends with an RST
        finally:
            self._connections.discard(connection)
            for one in connection.writers:
                one.transport.abort()

    async def _pump(
        self, side: Side, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: _Connection
    ) -> None:
        scanners: dict[Trap | Tally, _Scanner] = {}
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                for tally in self.tallies:
                    if tally.side == side:
                        tally.count += scanners.setdefault(tally, _Scanner(tally.regex)).matches(data)
                if side == "s2c" and connection.is_mute:
                    self.cut()
                    return
                sprung = self._spring(side, data, scanners)
                action = sprung.action if sprung else None
                if action == "cut":
                    self.cut()
                    return
                if action == "freeze":
                    self.mode = "blackhole"
                elif action == "freeze_connection":
                    connection.thaw.clear()
                elif action == "swallow_reply_then_cut":
                    connection.is_mute = True
                if action == "freeze_after":
                    writer.write(data)
                    self.mode = "blackhole"
                    await writer.drain()
                    continue
                await self._flows.wait()
                await connection.thaw.wait()
                if self._mode == "latency":
                    await asyncio.sleep(self.delay)
                writer.write(data)
                await writer.drain()
        await self._flows.wait()
        # A half-closed connection is closed: none of our protocols goes on talking to somebody who left.
        self._abort_peer(connection)

    def _abort_peer(self, connection: _Connection) -> None:
        for writer in connection.writers:
            writer.close()

    def _spring(self, side: Side, data: bytes, scanners: dict[Trap | Tally, _Scanner]) -> Trap | None:
        for trap in [one for one in self._traps if one.wants(side)]:
            for _ in range(scanners.setdefault(trap, _Scanner(trap.regex)).matches(data)):
                if trap.wants(side) and trap.counts_down(self):
                    return trap
        return None
