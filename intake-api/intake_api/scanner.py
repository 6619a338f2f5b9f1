"""A malware scanner for resumes: ClamAV's clamd over its socket (INSTREAM, clamd(8)). Off unless configured.

A scanner that does not answer is no verdict: the lead is kept and its resume quarantined, never taken for clean.
"""

import asyncio
import struct
from enum import StrEnum
from typing import BinaryIO, Protocol
from urllib.parse import urlsplit

import structlog
from prometheus_client import Counter

log = structlog.get_logger(__name__)

SCANS = Counter("resume_scans_total", "Resumes given to the scanner", ["verdict"])

_CHUNK_BYTES = 64 * 1024
_LENGTH = struct.Struct(">I")
_REPLY_BYTES = 4096


class Verdict(StrEnum):
    """What the scanner said of a document."""

    CLEAN = "clean"
    MALWARE = "malware"
    UNKNOWN = "unknown"


class Scanner(Protocol):
    """Looks for malware."""

    async def scan(self, content: BinaryIO) -> Verdict:
        """Scan seekable ``content`` from its start. Never raises for a scanner that is away: UNKNOWN."""

    async def is_up(self) -> bool:
        """Whether the scanner answers at all: then a document without a verdict is that document's matter."""


class NoScanner:
    """No scanner is configured: every document counts as clean."""

    async def scan(self, content: BinaryIO) -> Verdict:
        """See `Scanner.scan`."""
        return Verdict.CLEAN

    async def is_up(self) -> bool:
        """See `Scanner.is_up`."""
        return True


class ClamdScanner:
    """clamd at ``tcp://host:port`` or ``unix:///path``; a scan may take ``timeout`` seconds."""

    def __init__(self, url: str, timeout: float) -> None:
        self._address = urlsplit(url)
        self._timeout = timeout

    async def scan(self, content: BinaryIO) -> Verdict:
        """See `Scanner.scan`."""
        try:
            async with asyncio.timeout(self._timeout):
                verdict = _verdict(await self._ask(content))
        except (OSError, TimeoutError, EOFError) as error:
            log.warning("scanner_away", error_type=type(error).__name__)
            verdict = Verdict.UNKNOWN
        SCANS.labels(verdict).inc()
        return verdict

    async def is_up(self) -> bool:
        """See `Scanner.is_up`."""
        try:
            async with asyncio.timeout(self._timeout):
                reader, writer = await self._connect()
                try:
                    writer.write(b"zPING\0")
                    return await reader.readuntil(b"\0") == b"PONG\0"
                finally:
                    writer.close()
        except (OSError, TimeoutError, EOFError):
            return False

    async def _ask(self, content: BinaryIO) -> bytes:
        reader, writer = await self._connect()
        try:
            writer.write(b"zINSTREAM\0")
            content.seek(0)
            while chunk := content.read(_CHUNK_BYTES):
                writer.write(_LENGTH.pack(len(chunk)) + chunk)
                await writer.drain()
            writer.write(_LENGTH.pack(0))
            await writer.drain()
            return await reader.readuntil(b"\0")
        finally:
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._address.scheme == "unix":
            return await asyncio.open_unix_connection(self._address.path, limit=_REPLY_BYTES)
        return await asyncio.open_connection(self._address.hostname, self._address.port, limit=_REPLY_BYTES)


def _verdict(reply: bytes) -> Verdict:
    text = reply.rstrip(b"\0").strip()
    if text.endswith(b" FOUND"):
        return Verdict.MALWARE
    return Verdict.CLEAN if text == b"stream: OK" else Verdict.UNKNOWN


def make_scanner(url: str, timeout: float) -> Scanner:
    """The scanner at ``url``, or none when it is empty."""
    return ClamdScanner(url, timeout) if url else NoScanner()
