"""One contract for every implementation of the resume store."""

import asyncio
import hashlib
import io
import os
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from intake_api.exceptions import ResumeMissingError, StorageAwayError
from intake_api.resume_store import FilesystemStore, ResumeStore, S3Store
from intake_api.settings import ResumeStorageSettings

from deploy.local.service_addresses import StoreAddresses


def s3_settings(addresses: StoreAddresses, **changes: object) -> ResumeStorageSettings:
    fields: dict[str, object] = {
        "environment": "test",
        "s3_endpoint": addresses.endpoint,
        "s3_access_key": addresses.access_key,
        "s3_secret_key": addresses.secret_key,
        "s3_bucket": addresses.bucket,
        **changes,
    }
    return ResumeStorageSettings.model_validate(fields)


@pytest.fixture(params=["filesystem", "s3"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ResumeStore]:
    made: ResumeStore
    if request.param == "filesystem":
        made = FilesystemStore(tmp_path, 4)
    else:
        made = S3Store(s3_settings(request.getfixturevalue("s3_server")))
    yield made
    made.close()


async def read(store: ResumeStore, key: str) -> bytes:
    return b"".join([chunk async for chunk in await store.open(key)])


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 10 * 1024 * 1024])
async def test_what_was_put_is_read_again(store: ResumeStore, size: int) -> None:
    key, content = f"submissions/{uuid4()}", os.urandom(size)
    source = io.BytesIO(content)
    source.seek(size // 2)
    await store.put(key, source, size, "application/pdf")
    assert hashlib.sha256(await read(store, key)).digest() == hashlib.sha256(content).digest()


async def test_a_key_that_was_never_put_is_missing(store: ResumeStore) -> None:
    with pytest.raises(ResumeMissingError):
        await store.open(f"submissions/{uuid4()}")


async def test_a_put_repeated_under_its_key_is_one_object(store: ResumeStore) -> None:
    key = f"submissions/{uuid4()}"
    for _ in range(2):
        await store.put(key, io.BytesIO(b"same"), 4, "text/plain")
    assert await read(store, key) == b"same"


async def test_many_at_once_do_not_mix(store: ResumeStore) -> None:
    contents = {f"submissions/{uuid4()}": os.urandom(1000) for _ in range(40)}
    await asyncio.gather(*(store.put(key, io.BytesIO(body), 1000, "x/y") for key, body in contents.items()))
    assert {key: await read(store, key) for key in contents} == contents


async def test_fewer_bytes_than_announced_are_no_object(store: ResumeStore) -> None:
    key = f"submissions/{uuid4()}"
    with pytest.raises(StorageAwayError):
        await store.put(key, io.BytesIO(b"half"), 8, "text/plain")
    with pytest.raises(ResumeMissingError):
        await store.open(key)


async def test_objects_are_listed_by_prefix_and_deleted(store: ResumeStore) -> None:
    prefix = f"submissions/{uuid4()}"
    keys = {f"{prefix}-{number}" for number in range(3)}
    before = datetime.now(UTC) - timedelta(seconds=5)
    for key in keys:
        await store.put(key, io.BytesIO(b"x"), 1, "text/plain")
    found = await store.list(prefix)
    assert {one.key for one in found} == keys
    assert all(before < one.written_at < datetime.now(UTC) + timedelta(seconds=5) for one in found)
    for _ in range(2):
        await store.delete(min(keys))
    assert {one.key for one in await store.list(prefix)} == keys - {min(keys)}


async def test_a_store_that_answers_is_well(store: ResumeStore) -> None:
    await store.check()


async def test_a_missing_bucket_is_made(s3_server: StoreAddresses) -> None:
    store = S3Store(s3_settings(s3_server, s3_bucket=f"new-{uuid4()}"))
    await store.put("submissions/a", io.BytesIO(b"x"), 1, "text/plain")
    assert await read(store, "submissions/a") == b"x"
    store.close()


async def test_a_store_that_is_away_says_so(s3_server: StoreAddresses) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
        store = S3Store(s3_settings(s3_server, s3_endpoint=nobody))
        with pytest.raises(StorageAwayError):
            await store.put("submissions/a", io.BytesIO(b"x"), 1, "text/plain")
        with pytest.raises(StorageAwayError):
            await store.check()
        store.close()


async def test_wrong_keys_let_nobody_in(s3_server: StoreAddresses) -> None:
    store = S3Store(s3_settings(s3_server, s3_secret_key="wrong"))
    with pytest.raises(StorageAwayError):
        await store.put("submissions/a", io.BytesIO(b"x"), 1, "text/plain")
    store.close()


async def test_an_answer_that_is_no_s3_means_away(s3_server: StoreAddresses) -> None:
    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = "HTTP/1.1 403 Forbidden", "Content-Type: text/html", "Content-Length: 6", "Connection: close"
        writer.write("\r\n".join((*head, "", "<html>")).encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(page, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        store = S3Store(s3_settings(s3_server, s3_endpoint=f"http://127.0.0.1:{port}"))
        with pytest.raises(StorageAwayError):
            await store.put("submissions/a", io.BytesIO(b"x"), 1, "text/plain")
        with pytest.raises(StorageAwayError):
            await store.open("submissions/a")
        store.close()
