"""How large and how slow a body may be.

Pure ASGI, because bodies must be counted as they arrive: a declared length can lie, and form parsing
would read everything before a route runs.
"""

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from intake_api.exceptions import IntakeError


class BodyTooLargeError(IntakeError, HTTPException):
    """More bytes arrived than the route takes; ``field`` is what must become smaller.

    An HTTPException because it is raised while FastAPI reads a body, and FastAPI lets only those through.
    """

    def __init__(self, limit: int, field: str) -> None:
        HTTPException.__init__(self, 413, f"the body is larger than {limit} bytes")
        self.limit = limit
        self.field = field


class BodyTooSlowError(IntakeError, HTTPException):
    """The body did not arrive within its deadline. An HTTPException for the same reason."""

    def __init__(self) -> None:
        HTTPException.__init__(self, 408, "the body did not arrive in time")


class BodyLimit(NamedTuple):
    """How many bytes a body may have, and the field that has to shrink when it has more."""

    size: int
    field: str


class BodyLimits:
    """Counts each body as it arrives: BodyTooLargeError past the route's limit, BodyTooSlowError past the deadline.

    A declared length over the limit is refused before a byte is read. ``limit_of`` gives the bytes a
    method and path may send.
    """

    def __init__(self, app: ASGIApp, limit_of: Callable[[str, str], BodyLimit], deadline: float) -> None:
        self._app = app
        self._limit_of = limit_of
        self._deadline = deadline

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit, field = self._limit_of(scope["method"], scope["path"])
        declared = Headers(scope=scope).get("content-length", "")
        too_large = declared.isdigit() and int(declared) > limit
        ends_at = time.monotonic() + self._deadline
        received, complete = 0, False

        async def limited_receive() -> Message:
            nonlocal received, complete
            if complete:
                return await receive()
            if too_large:
                raise BodyTooLargeError(limit, field)
            try:
                async with asyncio.timeout(max(0.0, ends_at - time.monotonic())):
                    message = await receive()
            except TimeoutError as error:
                raise BodyTooSlowError from error
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                complete = not message.get("more_body", False)
                if received > limit:
                    raise BodyTooLargeError(limit, field)
            return message

        await self._app(scope, limited_receive, send)
