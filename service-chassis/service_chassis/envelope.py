"""The envelope of an event: AMQP's own properties, read once and typed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from faststream.rabbit import RabbitMessage
from pydantic import ValidationError
from shared_schemas.events import Event

from service_chassis.telemetry import trace_id_of

BODY_LIMIT_BYTES = 64 * 1024
BROKER_HEADERS = (
    "x-death",
    "x-delivery-count",
    "x-acquired-count",
    *(f"x-{which}-death-{what}" for which in ("first", "last") for what in ("queue", "reason", "exchange")),
)
"""The headers that the broker adds; a replay must not carry them."""


EventClass = type[Event]


class PoisonError(Exception):
    """The message can never be handled. ``reason`` is a word for staff, without any of its content."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Envelope:
    """What surrounds an event's body.

    ``message_id`` is the event's id, or a hash of the body where the sender gave none that PostgreSQL can hold.
    ``rejections`` counts our own rejects of it from this queue; ``is_suspect`` says that it came back
    for another reason: a process died with it or lost its link.
    """

    queue: str
    message_id: str
    has_own_id: bool
    type: str
    trace_id: str | None
    timestamp: datetime | None
    rejections: int
    is_suspect: bool
    is_redelivered: bool
    body: bytes = field(repr=False)
    headers: dict[str, str] = field(repr=False, default_factory=dict)

    @classmethod
    def of(cls, queue: str, message: RabbitMessage) -> "Envelope":
        """Read the envelope; never fails, whatever the message looks like."""
        raw = message.raw_message
        headers: dict[str, Any] = dict(raw.headers or {})
        rejections = _rejections(headers, queue)
        traceparent = headers.get("traceparent")
        redelivered = bool(raw.redelivered)
        own_id = raw.message_id if raw.message_id and "\x00" not in raw.message_id else None
        return cls(
            queue=queue,
            message_id=own_id or f"sha256:{_sha256(raw.body)}",
            has_own_id=own_id is not None,
            type=_storable(raw.type or ""),
            trace_id=trace_id_of(traceparent if isinstance(traceparent, str) else None),
            timestamp=raw.timestamp,
            rejections=rejections,
            is_suspect=redelivered and headers.get("x-delivery-count", 0) != rejections,
            is_redelivered=redelivered or rejections > 0,
            body=raw.body,
            headers={
                _storable(str(key)): _storable(str(value))
                for key, value in headers.items()
                if key not in BROKER_HEADERS
            },
        )

    def parse(self, events: Mapping[str, EventClass]) -> Event:
        """The event inside. Raises PoisonError: no id, unknown type or version, not JSON, wrong fields."""
        if not self.has_own_id:
            raise PoisonError("missing_message_id")
        event = events.get(self.type)
        if event is None:
            raise PoisonError("unknown_type")
        try:
            return event.model_validate_json(self.body)
        except ValidationError as error:
            raise PoisonError("invalid_body") from error

    def body_sha256(self) -> str:
        """The hash of the whole body, in hexadecimal."""
        return _sha256(self.body)

    def lead_id(self) -> UUID | None:
        """The lead this message is about, if that can be read at all."""
        try:
            return UUID(str(json.loads(self.body)["lead_id"]))
        except (ValueError, TypeError, KeyError, RecursionError):
            return None


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _storable(text: str) -> str:
    """The text with each NUL, which PostgreSQL holds in no text and no JSON, spelled out."""
    return text.replace("\x00", "\\x00")


def _rejections(headers: dict[str, Any], queue: str) -> int:
    deaths = headers.get("x-death")
    if not isinstance(deaths, list):
        return 0
    counts = [
        death.get("count")
        for death in deaths
        if isinstance(death, dict) and death.get("queue") == queue and death.get("reason") == "rejected"
    ]
    return sum(count for count in counts if isinstance(count, int))
