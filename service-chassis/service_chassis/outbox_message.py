"""An outbox row made into the AMQP message that it stands for."""

import json
from datetime import datetime
from typing import TypedDict

import aio_pika

SHORT_TEXT_BYTES = 255
"""AMQP 0-9-1's longest short string."""


class OutboxRow(TypedDict):
    """A claimed row, as `CLAIM` selects it."""

    id: int
    event_id: str
    type: str
    exchange: str
    routing_key: str
    correlation_id: str
    headers: str
    body: bytes
    created_at: datetime


def to_message(row: OutboxRow, app_id: str) -> aio_pika.Message:
    """The AMQP message of a row. Raises ValueError or TypeError when the row is malformed.

    Encodes it once on trial: what AMQP cannot carry (a text of more than 255 bytes) is found here, not on the link.
    """
    headers = json.loads(row["headers"])
    if not isinstance(headers, dict) or not row["event_id"] or not row["routing_key"]:
        raise ValueError("outbox row without headers, event id or routing key")
    if len(row["routing_key"].encode()) > SHORT_TEXT_BYTES:
        raise ValueError("outbox row with a routing key longer than AMQP's")
    message = aio_pika.Message(
        bytes(row["body"]),
        message_id=row["event_id"],
        type=row["type"],
        timestamp=row["created_at"],
        app_id=app_id,
        correlation_id=row["correlation_id"],
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        headers={str(key): str(value) for key, value in headers.items()},
    )
    message.properties.marshal()
    return message
