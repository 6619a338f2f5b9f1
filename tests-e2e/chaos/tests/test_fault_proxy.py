"""The proxy on plain echo connections: every mode, every action, and a match across two reads."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import ClassVar

import pytest_asyncio
from chaos.fault_proxy import FaultProxy, Tally, Trap

SHORT = 0.2


class Echo:
    """Answers each line with `got <line>`, and keeps what it got."""

    def __init__(self) -> None:
        self.got = b""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            self.got += line
            writer.write(b"got " + line)
        writer.close()


class Client:
    opened: ClassVar[list[asyncio.StreamWriter]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.opened.append(writer)

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def ask(self, line: bytes) -> bytes:
        self.send(line)
        async with asyncio.timeout(5):
            return await self._reader.readline()

    async def is_silent(self) -> bool:
        try:
            async with asyncio.timeout(SHORT):
                return not await self._reader.readline()
        except TimeoutError:
            return True

    async def is_cut(self) -> bool:
        try:
            async with asyncio.timeout(5):
                return await self._reader.readline() == b""
        except ConnectionError:
            return True


@pytest_asyncio.fixture
async def echo() -> Echo:
    return Echo()


@pytest_asyncio.fixture
async def proxy(echo: Echo) -> AsyncIterator[FaultProxy]:
    server = await asyncio.start_server(echo.talk, "127.0.0.1", 0)
    proxy = await FaultProxy("127.0.0.1", server.sockets[0].getsockname()[1]).start()
    yield proxy
    await proxy.close()
    server.close()
    while Client.opened:
        writer = Client.opened.pop()
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def connect(proxy: FaultProxy) -> Client:
    return Client(*await asyncio.open_connection("127.0.0.1", proxy.port))


async def test_it_passes_everything_on(proxy: FaultProxy) -> None:
    assert await (await connect(proxy)).ask(b"hello\n") == b"got hello\n"


async def test_a_blackhole_holds_until_it_is_healed(proxy: FaultProxy, echo: Echo) -> None:
    client = await connect(proxy)
    proxy.mode = "blackhole"
    client.send(b"held\n")
    assert await client.is_silent()
    assert echo.got == b""
    proxy.heal()
    assert await client.ask(b"") == b"got held\n"


async def test_cut_refuses_and_resets(proxy: FaultProxy) -> None:
    client = await connect(proxy)
    await client.ask(b"hello\n")
    proxy.mode = "cut"
    assert await client.is_cut()
    assert await (await connect(proxy)).is_cut()
    proxy.heal()
    assert await (await connect(proxy)).ask(b"again\n") == b"got again\n"


async def test_latency_delays(proxy: FaultProxy) -> None:
    client = await connect(proxy)
    proxy.mode, proxy.delay = "latency", SHORT
    began = asyncio.get_running_loop().time()
    await client.ask(b"slow\n")
    assert asyncio.get_running_loop().time() - began >= 2 * SHORT


async def test_a_freeze_holds_the_very_bytes_and_cut_makes_them_vanish(proxy: FaultProxy, echo: Echo) -> None:
    client = await connect(proxy)
    trap = proxy.arm("c2s", b"commit", "freeze")
    assert await client.ask(b"begin\n") == b"got begin\n"
    client.send(b"commit\n")
    await asyncio.wait_for(trap.hit.wait(), 5)
    assert trap.at is proxy
    proxy.cut()
    proxy.heal()
    assert await client.is_cut()
    assert echo.got == b"begin\n"


async def test_freeze_after_lets_the_bytes_through_and_holds_the_answer(proxy: FaultProxy, echo: Echo) -> None:
    client = await connect(proxy)
    trap = proxy.arm("c2s", b"commit", "freeze_after")
    client.send(b"commit\n")
    await asyncio.wait_for(trap.hit.wait(), 5)
    assert await client.is_silent()
    assert echo.got == b"commit\n"


async def test_freeze_connection_leaves_the_others_alone(proxy: FaultProxy) -> None:
    first, second = await connect(proxy), await connect(proxy)
    trap = proxy.arm("c2s", b"commit", "freeze_connection")
    first.send(b"commit\n")
    await asyncio.wait_for(trap.hit.wait(), 5)
    assert await second.ask(b"hello\n") == b"got hello\n"
    assert await first.is_silent()
    proxy.heal()
    assert await first.ask(b"") == b"got commit\n"


async def test_a_swallowed_reply_cuts_when_it_comes(proxy: FaultProxy, echo: Echo) -> None:
    client = await connect(proxy)
    proxy.arm("c2s", b"commit", "swallow_reply_then_cut")
    client.send(b"commit\n")
    assert await client.is_cut()
    assert echo.got == b"commit\n"


async def test_the_answers_side_can_be_trapped(proxy: FaultProxy, echo: Echo) -> None:
    client = await connect(proxy)
    trap = proxy.arm("s2c", b"got commit", "cut")
    client.send(b"commit\n")
    assert await client.is_cut()
    assert trap.hit.is_set()
    assert echo.got == b"commit\n"


async def test_skipped_matches_go_through(proxy: FaultProxy) -> None:
    client = await connect(proxy)
    trap = proxy.arm("c2s", b"commit", "freeze", skip=2)
    for _ in range(2):
        assert await client.ask(b"commit\n") == b"got commit\n"
    client.send(b"commit\n")
    await asyncio.wait_for(trap.hit.wait(), 5)


async def test_a_trap_that_was_lifted_does_not_spring(proxy: FaultProxy) -> None:
    client = await connect(proxy)
    trap = proxy.arm("c2s", b"commit", "cut")
    proxy.lift(trap)
    assert await client.ask(b"commit\n") == b"got commit\n"
    assert not trap.hit.is_set()


async def test_a_match_across_two_reads_is_one_match(proxy: FaultProxy, echo: Echo) -> None:
    client = await connect(proxy)
    tally = Tally("c2s", b"commit")
    proxy.tallies.append(tally)
    for half in (b"com", b"mit com", b"mit\n"):
        client.send(half)
        await asyncio.sleep(0.02)  # so that they are not read as one
    assert await client.ask(b"end\n") == b"got commit commit\n"
    assert tally.count == 2


async def test_one_trap_on_two_hops_springs_once_and_calls_at_once(proxy: FaultProxy, echo: Echo) -> None:
    other = await FaultProxy(*proxy.destination).start()
    called: list[FaultProxy] = []
    trap = Trap("c2s", b"commit", "notice", then=called.append)
    for one in (proxy, other):
        one.set(trap)
    assert await (await connect(other)).ask(b"commit\n") == b"got commit\n"
    assert await (await connect(proxy)).ask(b"commit\n") == b"got commit\n"
    assert called == [other]
    await other.close()


async def test_nobody_behind_it_is_a_reset(proxy: FaultProxy) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        proxy.destination = probe.getsockname()
        assert await (await connect(proxy)).is_cut()
