"""A clamd that speaks INSTREAM and PING (clamd(8)) and knows one virus: the EICAR test file."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


class ClamdStub:
    """Remembers what it was sent; ``reply`` replaces its verdicts, None makes it hang up, as ``unreadable`` does."""

    def __init__(self) -> None:
        self.scanned: list[bytes] = []
        self.reply: bytes | None = b""
        self.unreadable: bytes | None = None

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            command = await reader.readuntil(b"\0")
            if command == b"zPING\0":
                writer.write(b"PONG\0")
                return
            assert command == b"zINSTREAM\0"
            content = b""
            while length := struct.unpack(">I", await reader.readexactly(4))[0]:
                content += await reader.readexactly(length)
            self.scanned.append(content)
            if self.reply is not None and content != self.unreadable:
                verdict = b"stream: Eicar-Signature FOUND" if EICAR in content else b"stream: OK"
                writer.write((self.reply or verdict) + b"\0")
                await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def clamd() -> AsyncIterator[tuple[ClamdStub, str]]:
    """Run one; yields it and its URL."""
    stub = ClamdStub()
    server = await asyncio.start_server(stub.answer, "127.0.0.1", 0)
    async with server:
        yield stub, f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
