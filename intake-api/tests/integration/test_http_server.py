"""Raw requests to the real server: sizes that lie, slow bodies, requests that mean two things (S01, S02, S25)."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from intake_api.main import build
from intake_api.resume_store import FilesystemStore
from service_chassis.http_server import listen, make_server

from deploy.local.testing import MigratedDatabase

from .conftest import settings_for

HEAD = b"POST /api/v1/leads HTTP/1.1\r\nHost: intake\r\nContent-Type: application/json\r\n"
MIB = 1024 * 1024


@pytest.fixture
async def address(migrated_database: MigratedDatabase, tmp_path: Path) -> AsyncIterator[tuple[str, int]]:
    """The address of a running server whose bodies have 2 s to arrive."""
    settings = settings_for(migrated_database("intake_api").app_url, upload_deadline=2)
    app = build(settings, FilesystemStore(tmp_path / "objects", 2))
    stop = asyncio.Event()
    with contextlib.closing(listen("127.0.0.1", 0)) as listener:
        running = asyncio.create_task(make_server(app, grace=1).run_until(stop, [listener]))
        host, port = socket.socket.getsockname(listener)
        yield host, port
        stop.set()
        await running


async def status_of(address: tuple[str, int], *parts: bytes) -> int:
    """Send the parts, ignoring that the server may stop listening, and read the status of its answer."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        with contextlib.suppress(ConnectionError):
            for part in parts:
                writer.write(part)
                await writer.drain()
        async with asyncio.timeout(20):
            line = await reader.readline()
        return int(line.split()[1])
    finally:
        writer.close()


async def test_s01_a_chunked_body_is_cut_off_at_the_limit(address: tuple[str, int]) -> None:
    reader, writer = await asyncio.open_connection(*address)
    chunk = f"{MIB:x}\r\n".encode() + b"x" * MIB + b"\r\n"
    writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    sent = 0
    answer = asyncio.create_task(reader.readline())
    with contextlib.suppress(ConnectionError):
        while not answer.done() and sent < 300:
            writer.write(chunk)
            await writer.drain()
            sent += 1
    async with asyncio.timeout(20):
        assert b" 413 " in await answer
    assert sent < 40  # the limit is 14 MiB; the rest is what sockets hold
    writer.close()


async def test_s01_a_declared_length_over_the_limit_is_refused_unread(address: tuple[str, int]) -> None:
    assert await status_of(address, HEAD + f"Content-Length: {300 * MIB}\r\n\r\n".encode()) == 413


async def test_s01_a_body_that_trickles_is_cut_off_at_its_deadline(address: tuple[str, int]) -> None:
    assert await status_of(address, HEAD + b"Content-Length: 100\r\n\r\n{") == 408


@pytest.mark.parametrize("path", [b"/api/v1/leads/merge", b"/api/v1/auth/token", b"/nowhere"])
async def test_s01_the_limit_holds_on_routes_that_need_a_login(address: tuple[str, int], path: bytes) -> None:
    head = HEAD.replace(b"/api/v1/leads", path) + f"Content-Length: {300 * MIB}\r\n\r\n".encode()
    assert await status_of(address, head) in {404, 405, 413, 422}


async def test_s02_ten_thousand_headers_are_4xx(address: tuple[str, int]) -> None:
    lines = b"".join(f"X-{number}: y\r\n".encode() for number in range(10_000))
    assert await status_of(address, HEAD + lines + b"\r\n") in {400, 422}


@pytest.mark.parametrize(
    "request_",
    [
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        HEAD + b"Host: other\r\nContent-Length: 2\r\n\r\n{}",
        HEAD.replace(b"Host: intake\r\n", b"") + b"Content-Length: 2\r\n\r\n{}",
        HEAD + b"X-A: b\nContent-Length : 2\r\n\r\n{}",
    ],
)
async def test_s25_a_request_that_means_two_things_is_400(address: tuple[str, int], request_: bytes) -> None:
    assert await status_of(address, request_) in {400, 501}
