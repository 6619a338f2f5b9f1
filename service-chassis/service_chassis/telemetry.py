"""Logs (JSON lines, no personal data), metrics, and the trace that follows one lead.

Errors are logged by type and place, never by text: exception messages of drivers and validators quote
what a visitor typed.
"""

import logging
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType

import structlog
from prometheus_client import Counter, Gauge, Histogram

from service_chassis.transient import error_place, error_type

_trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)

PUBLISHED = Counter("relay_published_total", "Events confirmed by the broker", ["type"])
UNROUTABLE = Counter("relay_unroutable_total", "Publishes returned by the broker as unroutable", ["type"])
PUBLISH_FAILED = Counter("relay_failed_total", "Publishes without a confirm", ["error"])
PARKED = Counter("relay_parked_total", "Outbox rows that cannot be published and wait for a person")
OUTBOX_ROWS = Gauge("outbox_rows", "Outbox rows waiting for the broker")
OUTBOX_AGE = Gauge("outbox_oldest_age_seconds", "Age of the oldest outbox row")
OUTBOX_PARKED = Gauge("outbox_parked_rows", "Outbox rows parked")
HANDLED = Counter("messages_handled_total", "Messages handled", ["queue", "outcome"])
HANDLING = Histogram("message_handling_seconds", "Time from delivery to commit", ["queue"])


def configure_logging(service: str, level: str = "INFO") -> None:
    """Send every log line of the process, ours and the libraries', to stderr as one JSON object."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _type_and_place,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(allow=()), *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for chatty in ("aio_pika", "aiormq", "httpx", "uvicorn.access", "sqlalchemy.engine", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL if chatty.startswith("aio") else logging.WARNING)
    logging.getLogger("asyncio").addFilter(_without_objects)
    sys.excepthook = _log_uncaught
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(service=service)


def _without_objects(record: logging.LogRecord) -> bool:
    """Cut asyncio's messages where they begin to show the objects concerned: those quote errors and arguments."""
    record.msg, record.args = re.split(r"[\n(<]", record.getMessage(), maxsplit=1)[0].strip(), ()
    return True


def _log_uncaught(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    """Log what ends the process like any other error, instead of printing its text."""
    logging.getLogger(__name__).error("uncaught", exc_info=error)


def _type_and_place(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Replace exception details by type and place: their text may quote a lead."""
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    error = info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        event.update(log_fields(error))
    event.pop("stack_info", None)
    return event


def log_fields(error: BaseException) -> dict[str, str]:
    """What may be logged of an error."""
    return {"error_type": error_type(error), "error_place": error_place(error)}


def new_trace_id() -> str:
    """A W3C trace id (16 random bytes, hexadecimal)."""
    return secrets.token_hex(16)


def trace_id_of(traceparent: str | None) -> str | None:
    """The trace id of a W3C ``traceparent`` header, or None when there is none or it is malformed."""
    parts = (traceparent or "").split("-")
    if len(parts) != 4 or len(parts[1]) != 32 or parts[1] == "0" * 32:
        return None
    return parts[1] if all(c in "0123456789abcdef" for c in parts[1]) else None


def traceparent_of(trace_id: str) -> str:
    """A ``traceparent`` for a new span of this trace."""
    return f"00-{trace_id}-{secrets.token_hex(8)}-01"


def current_trace_id() -> str:
    """The trace that this task works for; a new one where there is none."""
    return _trace_id.get() or new_trace_id()


@contextmanager
def traced(trace_id: str | None, **fields: str) -> Iterator[str]:
    """Work for one trace: log lines carry it, and events written meanwhile carry it on."""
    value = trace_id or new_trace_id()
    token = _trace_id.set(value)
    with structlog.contextvars.bound_contextvars(correlation_id=value, **fields):
        try:
            yield value
        finally:
            _trace_id.reset(token)
