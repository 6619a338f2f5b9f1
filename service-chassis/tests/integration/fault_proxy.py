"""A TCP proxy that misbehaves: for one hop of what an integration test runs."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import Literal
from urllib.parse import urlsplit


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
