"""What happens to every request: a trace, an access line without personal data, limits, safe headers.

Pure ASGI, because bodies must be counted as they arrive: a declared length can lie, and form parsing
would read everything before a route runs.
"""

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

import structlog
from prometheus_client import Histogram
from service_chassis.telemetry import trace_id_of, traced
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from intake_api.exceptions import BodyTooLargeError, BodyTooSlowError
from intake_api.problems import unexpected

log = structlog.get_logger(__name__)

REQUESTS = Histogram("http_request_seconds", "Time to answer", ["method", "route", "status"])

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Frame-Options": "DENY",
}


class Trace:
    """Gives each request a trace (the caller's ``traceparent`` if it sent one), an access line and a timing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0
        trace_id = trace_id_of(Headers(scope=scope).get("traceparent"))

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        with traced(trace_id):
            try:
                await self._app(scope, receive, send_with_headers)
            except Exception as error:
                response = unexpected(error)
                if status:
                    raise
                await response(scope, receive, send_with_headers)
            finally:
                seconds = time.perf_counter() - started
                route = getattr(scope.get("route"), "path", "unknown")
                REQUESTS.labels(scope["method"], route, status).observe(seconds)
                log.info("request", method=scope["method"], route=route, status=status, ms=round(seconds * 1000, 1))


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
