"""Where resumes are kept: a port with two implementations that pass one contract suite.

An object is written once under a generated key and never changed; what a visitor typed is never part
of a key. Writing returns only when the object is durable (docs/design.md, invariant 1).
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from intake_api.exceptions import ResumeMissingError, StorageAwayError
from intake_api.settings import ResumeStorageSettings, StoreKind

CHUNK_BYTES = 64 * 1024
_SINGLE_PUT_BYTES = 64 * 1024 * 1024
_MISSING = frozenset({"NoSuchKey", "NoSuchBucket"})

Result = TypeVar("Result")


@dataclass(frozen=True)
class StoredObject:
    """An object in a store, and when it was last written (the store's clock, UTC)."""

    key: str
    written_at: datetime


class ResumeStore(Protocol):
    """Keeps resumes by key."""

    async def put(self, key: str, content: BinaryIO, size: int, content_type: str) -> None:
        """Store ``size`` bytes of ``content`` under ``key``; durable on return. Raises StorageAwayError."""

    async def open(self, key: str) -> AsyncIterator[bytes]:
        """Return the object's bytes, in chunks. Raises ResumeMissingError or StorageAwayError."""

    async def list(self, prefix: str) -> Sequence[StoredObject]:
        """Return every object whose key starts with ``prefix``. Raises StorageAwayError."""

    async def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error. Raises StorageAwayError."""

    async def check(self) -> None:
        """Return when the store answers. Raises StorageAwayError."""

    def close(self) -> None:
        """Let go of threads and connections."""


class FilesystemStore:
    """Resumes in a folder of one machine: written beside, synced, then renamed into place."""

    def __init__(self, folder: Path, concurrency: int) -> None:
        self._folder = folder
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="resumes")

    async def put(self, key: str, content: BinaryIO, size: int, content_type: str) -> None:
        """See `ResumeStore.put`."""

        def write() -> None:
            target = self._folder / key
            target.parent.mkdir(parents=True, exist_ok=True)
            content.seek(0)
            with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".part-", delete=False) as part:
                written = 0
                while chunk := content.read(CHUNK_BYTES):
                    written += part.write(chunk)
                part.flush()
                os.fsync(part.fileno())
            if written != size:
                Path(part.name).unlink()
                raise OSError(f"{written} bytes instead of {size}")
            Path(part.name).replace(target)
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

        await self._run(write)

    async def open(self, key: str) -> AsyncIterator[bytes]:
        """See `ResumeStore.open`."""
        try:
            source = await self._run(lambda: (self._folder / key).open("rb"))
        except FileNotFoundError as error:
            raise ResumeMissingError from error
        return _chunks(self._run, source.read, source.close)

    async def list(self, prefix: str) -> Sequence[StoredObject]:
        """See `ResumeStore.list`."""

        def walk() -> list[StoredObject]:
            return [
                StoredObject(key, datetime.fromtimestamp(path.stat().st_mtime, UTC))
                for path in self._folder.rglob("*")
                if path.is_file() and (key := path.relative_to(self._folder).as_posix()).startswith(prefix)
            ]

        return await self._run(walk)

    async def delete(self, key: str) -> None:
        """See `ResumeStore.delete`."""
        await self._run(lambda: (self._folder / key).unlink(missing_ok=True))

    async def check(self) -> None:
        """See `ResumeStore.check`."""
        await self._run(lambda: self._folder.mkdir(parents=True, exist_ok=True))

    def close(self) -> None:
        """See `ResumeStore.close`."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StorageAwayError from error


class S3Store:
    """Resumes in a bucket of any S3 service, through the minio client, off the event loop.

    Transfers run on ``concurrency`` threads: that bounds the memory they hold (the client reads a whole
    object before it sends it).
    """

    def __init__(self, settings: ResumeStorageSettings) -> None:
        endpoint = urlsplit(settings.s3_endpoint)
        self._bucket = settings.s3_bucket
        self._threads = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="resumes")
        self._checks = ThreadPoolExecutor(1, thread_name_prefix="resumes-check")
        self._http = urllib3.PoolManager(
            maxsize=settings.concurrency + 1,
            timeout=urllib3.Timeout(connect=2.0, read=settings.s3_timeout),
            retries=Retry(total=2, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504]),
            cert_reqs="CERT_REQUIRED",
        )
        self._client = Minio(
            endpoint=endpoint.netloc,
            access_key=settings.s3_access_key,
            secret_key=settings.s3_secret_key.get_secret_value(),
            secure=endpoint.scheme == "https",
            region=settings.s3_region,
            http_client=self._http,
        )

    async def put(self, key: str, content: BinaryIO, size: int, content_type: str) -> None:
        """See `ResumeStore.put`. One PUT, so that a lost reply can be repeated under the same key."""

        def write() -> None:
            content.seek(0)
            self._client.put_object(
                bucket_name=self._bucket,
                object_name=key,
                data=content,
                length=size,
                content_type=content_type,
                part_size=_SINGLE_PUT_BYTES,
            )

        def write_making_the_bucket() -> None:
            try:
                write()
            except S3Error as error:
                if error.code != "NoSuchBucket":
                    raise
                self._make_bucket()
                write()

        await self._run(write_making_the_bucket)

    async def open(self, key: str) -> AsyncIterator[bytes]:
        """See `ResumeStore.open`."""
        response = await self._run(lambda: self._client.get_object(bucket_name=self._bucket, object_name=key))

        def close() -> None:
            response.close()
            response.release_conn()

        return _chunks(self._run, response.read, close)

    async def list(self, prefix: str) -> Sequence[StoredObject]:
        """See `ResumeStore.list`."""

        def walk() -> list[StoredObject]:
            found = self._client.list_objects(bucket_name=self._bucket, prefix=prefix, recursive=True)
            return [
                StoredObject(one.object_name, one.last_modified)
                for one in found
                if one.object_name and one.last_modified
            ]

        try:
            return await self._run(walk)
        except ResumeMissingError:
            return []

    async def delete(self, key: str) -> None:
        """See `ResumeStore.delete`."""
        with suppress(ResumeMissingError):  # no bucket, no object
            await self._run(lambda: self._client.remove_object(bucket_name=self._bucket, object_name=key))

    async def check(self) -> None:
        """See `ResumeStore.check`."""
        # On a thread of its own: behind queued transfers a healthy store would look dead.
        await self._run(lambda: self._client.bucket_exists(bucket_name=self._bucket), self._checks)

    def close(self) -> None:
        """See `ResumeStore.close`."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._checks.shutdown(wait=False, cancel_futures=True)
        self._http.clear()

    def _make_bucket(self) -> None:
        try:
            self._client.make_bucket(bucket_name=self._bucket)
        except S3Error as error:
            if error.code not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                raise

    async def _run(self, work: Callable[[], Result], threads: ThreadPoolExecutor | None = None) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(threads or self._threads, work)
        except S3Error as error:
            if error.code in _MISSING:
                raise ResumeMissingError from error
            raise StorageAwayError from error
        except (MinioException, HTTPError, OSError) as error:
            raise StorageAwayError from error


async def _chunks(
    run: Callable[[Callable[[], bytes]], Awaitable[bytes]],
    read: Callable[[int], bytes],
    close: Callable[[], None],
) -> AsyncIterator[bytes]:
    try:
        while chunk := await run(lambda: read(CHUNK_BYTES)):
            yield chunk
    finally:
        close()


def make_store(settings: ResumeStorageSettings) -> ResumeStore:
    """Build the store that the settings ask for. Nothing connects until first use."""
    if settings.store is StoreKind.S3:
        return S3Store(settings)
    assert settings.path is not None  # noqa: S101 - the settings validated it
    return FilesystemStore(settings.path, settings.concurrency)
