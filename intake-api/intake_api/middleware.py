"""What happens to every request: a trace, an access line without personal data, safe headers, no bare 500."""

import time

import structlog
from prometheus_client import Histogram
from service_chassis.telemetry import trace_id_of, traced
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from intake_api.problems import problem, unexpected

log = structlog.get_logger(__name__)

REQUESTS = Histogram("http_request_seconds", "Time to answer", ["method", "route", "status"])

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Methods that are named in logs and metrics; a stranger may invent any number of others."""

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Unless a route says otherwise: an answer of an API is no page, and nobody frames it."""

HSTS = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}
"""In production only, where the API stands behind TLS."""

_DOCS_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' https://cdn.jsdelivr.net; style-src https://cdn.jsdelivr.net "
    "'unsafe-inline'; img-src data: https://fastapi.tiangolo.com; font-src https:; connect-src 'self'; "
    "worker-src blob:; frame-ancestors 'none'"
)
_DOCS_PATHS = frozenset({"/docs", "/redoc"})
"""The playground's pages bring their scripts from where FastAPI says."""


def _has_two_lengths(scope: Scope) -> bool:
    """Whether two servers could disagree where the request ends (RFC 9112 s. 6.3): a way to smuggle a second one."""
    headers = Headers(scope=scope)
    return "content-length" in headers and "transfer-encoding" in headers


def _ambiguous_length() -> ASGIApp:
    return problem(
        400, "ambiguous-length", "send Content-Length or Transfer-Encoding, not both", headers={"Connection": "close"}
    )


class Trace:
    """Gives each request a trace (the caller's ``traceparent`` if it sent one), an access line and a timing."""

    def __init__(self, app: ASGIApp, *, is_production: bool) -> None:
        self._app = app
        self._headers = {**SECURITY_HEADERS, **(HSTS if is_production else {})}

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
                if scope["path"] in _DOCS_PATHS:
                    headers.setdefault("Content-Security-Policy", _DOCS_POLICY)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        with traced(trace_id):
            try:
                app = _ambiguous_length() if _has_two_lengths(scope) else self._app
                await app(scope, receive, send_with_headers)
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
