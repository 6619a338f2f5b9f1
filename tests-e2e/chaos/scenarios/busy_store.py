"""An object store that is busy: it answers its first puts 503 SlowDown, and then the true store answers."""

import asyncio

from chaos.fault_proxy import FaultProxy

REFUSALS = 3
"""Puts of one resume before the product says 503 to its client: its S3 client tries that often."""

_BODY = b"<?xml version='1.0' encoding='UTF-8'?><Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>"
_ANSWER = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
)


class BusyStore:
    """Stands in at a hop to the store until it has refused ``refusals`` puts; whatever else is asked is refused, too.

    ``left`` counts the puts that it has yet to refuse.
    """

    def __init__(self, hop: FaultProxy, refusals: int) -> None:
        self.left = refusals
        self._hop = hop
        self._true = hop.destination
        self._server: asyncio.Server | None = None

    async def start(self) -> "BusyStore":
        """Take the store's place at the hop."""
        self._server = await asyncio.start_server(self._refuse, "127.0.0.1", 0)
        self._hop.destination = self._server.sockets[0].getsockname()[:2]
        self._hop.cut()  # what is connected is asked no more
        return self

    async def close(self) -> None:
        """Give the store its place back."""
        self._hop.destination = self._true
        if self._server:
            self._server.close()

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(_length(head))
            if head.startswith(b"PUT ") and self.left:
                self.left -= 1
                if not self.left:
                    self._hop.destination = self._true
            writer.write(_ANSWER % (len(_BODY), _BODY))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # who asked has gone: nothing was refused
        finally:
            writer.close()


def _length(head: bytes) -> int:
    for line in head.lower().splitlines():
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0
