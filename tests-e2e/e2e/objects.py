"""The resume objects of a stack, read from its S3 as they lie there, past the product and its proxies."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from urllib.parse import urlsplit

from minio import Minio
from minio.error import S3Error

from e2e.stack import Stack

CHUNK = 1024 * 1024
_HASHED_OBJECTS = 400


@contextmanager
def client(stack: Stack) -> Iterator[tuple[Minio, str]]:
    """A client of the stack's S3, and the name of its bucket."""
    s3 = stack.run["s3"]
    endpoint = urlsplit(s3["endpoint"])
    opened = Minio(
        endpoint=endpoint.netloc,
        access_key=s3["access_key"],
        secret_key=s3["secret_key"],
        secure=endpoint.scheme == "https",
    )
    try:
        yield opened, s3["bucket"]
    finally:
        opened._http.clear()


def digests(stack: Stack, keys: Sequence[str]) -> dict[str, str]:
    """SHA-256 of each object that is there, by key; of more than a few hundred only every so-manieth is read.

    Of the others it is seen that they are there (empty).
    """
    there: dict[str, str] = {}
    stride = 1 + len(keys) // _HASHED_OBJECTS
    with client(stack) as (s3, bucket):
        for index, key in enumerate(keys):
            try:
                if index % stride:
                    s3.stat_object(bucket_name=bucket, object_name=key)
                    there[key] = ""
                    continue
                answer = s3.get_object(bucket_name=bucket, object_name=key)
            except S3Error as error:
                if error.code != "NoSuchKey":
                    raise
                continue
            digest = hashlib.sha256()
            for chunk in answer.stream(CHUNK):
                digest.update(chunk)
            answer.release_conn()
            there[key] = digest.hexdigest()
    return there


def texts(stack: Stack) -> list[tuple[str, str]]:
    """Key and content of every object, its bytes taken for latin-1."""
    with client(stack) as (s3, bucket):
        keys = [str(one.object_name) for one in s3.list_objects(bucket_name=bucket, recursive=True)]
        return [(key, _read(s3, bucket, key).decode("latin-1")) for key in keys]


def written_since(stack: Stack, since: datetime) -> set[str]:
    """Keys of the objects written at or after ``since``; the store's times are of whole seconds."""
    whole = since.replace(microsecond=0)
    with client(stack) as (s3, bucket):
        listed = s3.list_objects(bucket_name=bucket, recursive=True)
        return {str(one.object_name) for one in listed if one.last_modified and one.last_modified >= whole}


def get(stack: Stack, key: str) -> bytes:
    """The content of an object that is there."""
    with client(stack) as (s3, bucket):
        return _read(s3, bucket, key)


def remove(stack: Stack, key: str) -> None:
    """Take an object away behind the product's back."""
    with client(stack) as (s3, bucket):
        s3.remove_object(bucket_name=bucket, object_name=key)


def put(stack: Stack, key: str, content: bytes) -> None:
    """Add an object behind the product's back."""
    with client(stack) as (s3, bucket):
        s3.put_object(bucket_name=bucket, object_name=key, data=io.BytesIO(content), length=len(content))


def _read(s3: Minio, bucket: str, key: str) -> bytes:
    answer = s3.get_object(bucket_name=bucket, object_name=key)
    try:
        content: bytes = answer.read()
        return content
    finally:
        answer.close()
        answer.release_conn()
