"""The resume objects of a stack, read from its S3 as they lie there."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
    """SHA-256 of each object that is there, by key; past a few hundred only see that it is there (empty)."""
    there: dict[str, str] = {}
    with client(stack) as (s3, bucket):
        for index, key in enumerate(keys):
            try:
                if index >= _HASHED_OBJECTS:
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
    found = []
    with client(stack) as (s3, bucket):
        for one in s3.list_objects(bucket_name=bucket, recursive=True):
            answer = s3.get_object(bucket_name=bucket, object_name=str(one.object_name))
            found.append((str(one.object_name), answer.read().decode("latin-1")))
            answer.close()
            answer.release_conn()
    return found
