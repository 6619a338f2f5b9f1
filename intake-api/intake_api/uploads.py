"""Reading a submission's body in bounded memory.

Bodies go to spooled files as they arrive. A JSON body must be held whole to be decoded (its resume is
base64 text), so that is done by one thread, one body at a time: a hundred uploads at once cost disk,
not memory.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, BinaryIO, TypeVar

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from intake_api.body_limits import BodyTooLargeError, BodyTooSlowError
from intake_api.exceptions import FieldError, InvalidFieldsError, UnsupportedBodyError
from intake_api.submission import NewSubmission, Resume, check, check_resume, decode_json, spooled_file

MAX_FIELDS = 20
MAX_FIELD_BYTES = 64 * 1024
ENVELOPE_BYTES = 512 * 1024
"""Room for the other fields, and for JSON writers that escape every slash of the base64 text."""


def body_limit(upload_limit: int) -> int:
    """The largest body of a submission: a resume of ``upload_limit`` bytes in base64, and its fields."""
    return (upload_limit + 2) // 3 * 4 + ENVELOPE_BYTES


Parts = tuple[dict[str, Any], BinaryIO | None, object]
"""A body taken apart: its fields, the resume's bytes, and the name they came with."""

Done = TypeVar("Done")


class Uploads:
    """Turns requests into checked submissions.

    ``limit`` is the largest resume in bytes, ``region`` the country of phone numbers without +.
    """

    def __init__(self, limit: int, region: str = "") -> None:
        self._limit = limit
        self._region = region
        self._decoder = ThreadPoolExecutor(1, thread_name_prefix="decode")

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[NewSubmission]:
        """Read and check a submission; its files live as long as the context.

        Raises InvalidFieldsError, UnsupportedBodyError, and what the body limits raise.
        """
        async with self._parts(request) as (fields, content, filename):
            yield await self._run(lambda: check(fields, content, filename, limit=self._limit, region=self._region))

    @asynccontextmanager
    async def read_resume(self, request: Request) -> AsyncIterator[Resume]:
        """The same for a resume alone."""
        async with self._parts(request) as (fields, content, filename):
            yield await self._run(lambda: check_resume(fields, content, filename, limit=self._limit))

    def _parts(self, request: Request) -> AbstractAsyncContextManager[Parts]:
        media_type = request.headers.get("content-type", "").split(";", 1)[0].strip().lower()
        if media_type == "application/json":
            return self._read_json(request)
        if media_type == "multipart/form-data":
            return self._read_form(request)
        raise UnsupportedBodyError

    def close(self) -> None:
        """Let go of the decoding thread."""
        self._decoder.shutdown(wait=False, cancel_futures=True)

    @asynccontextmanager
    async def _read_json(self, request: Request) -> AsyncIterator[Parts]:
        with spooled_file() as body:
            async for chunk in request.stream():
                body.write(chunk)
            fields, content = await self._decode(body)
        try:
            yield fields, content, fields.get("resume_filename")
        finally:
            if content is not None:
                content.close()

    @asynccontextmanager
    async def _read_form(self, request: Request) -> AsyncIterator[Parts]:
        try:
            form = await request.form(max_files=1, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES)
        except (BodyTooLargeError, BodyTooSlowError):
            raise
        except (MultiPartException, HTTPException) as error:  # Starlette raises the latter inside an application
            raise InvalidFieldsError([FieldError("body", "is not a valid form: one file and short fields")]) from error
        try:
            fields: dict[str, Any] = {}
            content: BinaryIO | None = None
            filename: object = None
            for name, value in form.multi_items():
                if name in fields:
                    raise InvalidFieldsError([FieldError("body", "gives one of its fields twice")])
                if not isinstance(value, UploadFile):
                    fields[name] = value
                elif name == "resume":
                    content, filename = value.file, value.filename or None
            yield fields, content, filename
        finally:
            await form.close()

    async def _decode(self, body: BinaryIO) -> tuple[dict[str, Any], BinaryIO | None]:
        return await self._run(lambda: decode_json(body))

    async def _run(self, work: Callable[[], Done]) -> Done:
        return await asyncio.get_running_loop().run_in_executor(self._decoder, work)
