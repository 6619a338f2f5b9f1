"""What happens to every request: a trace, an access line without personal data, safe headers, no bare 500."""

import time

import structlog
from prometheus_client import Histogram
from service_chassis.telemetry import trace_id_of, traced
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from intake_api.problems import unexpected

log = structlog.get_logger(__name__)

REQUESTS = Histogram("http_request_seconds", "Time to answer", ["method", "route", "status"])

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Methods that are named in logs and metrics; a stranger may invent any number of others."""

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
                method = scope["method"] if scope["method"] in METHODS else "other"
                REQUESTS.labels(method, route, status).observe(seconds)
                log.info("request", method=method, route=route, status=status, ms=round(seconds * 1000, 1))
