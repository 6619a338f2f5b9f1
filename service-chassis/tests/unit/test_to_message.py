"""What a relay makes of an outbox row."""

from datetime import UTC, datetime
from typing import Any, cast

import aio_pika
import pytest
from service_chassis.broker_link import PUBLISHER_CHANNEL, broker_urls, with_heartbeat
from service_chassis.outbox_message import OutboxRow, to_message

CREATED = datetime(2026, 11, 24, 9, 15, 30, tzinfo=UTC)


def row(**changes: Any) -> OutboxRow:
    whole = {
        "id": 1,
        "event_id": "0193a7c4-5a11-7000-8000-000000000001",
        "type": "lead.closed.v1",
        "exchange": "leads.events",
        "routing_key": "lead.closed",
        "correlation_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "headers": '{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}',
        "body": b'{"a": "\xff"}',
        "created_at": CREATED,
        **changes,
    }
    return cast(OutboxRow, whole)


def test_the_envelope_of_an_event_is_amqps_own_properties() -> None:
    message = to_message(row(), "intake-api")
    assert message.delivery_mode is aio_pika.DeliveryMode.PERSISTENT
    assert message.message_id == "0193a7c4-5a11-7000-8000-000000000001"
    assert message.type == "lead.closed.v1"
    assert message.timestamp == CREATED
    assert message.app_id == "intake-api"
    assert message.correlation_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert message.content_type == "application/json"
    assert message.headers == {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    assert message.body == b'{"a": "\xff"}'


def test_the_same_row_makes_the_same_message_each_time() -> None:
    assert to_message(row(), "x").info() == to_message(row(), "x").info()


def test_headers_that_are_no_text_become_text() -> None:
    assert to_message(row(headers='{"n": 1, "x": null}'), "x").headers == {"n": "1", "x": "None"}


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": "[]"},
        {"headers": "null"},
        {"headers": '"text"'},
        {"headers": "{"},
        {"headers": None},
        {"event_id": ""},
        {"event_id": None},
        {"routing_key": ""},
        {"body": None},
    ],
    ids=repr,
)
def test_a_malformed_row_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        to_message(row(**changes), "x")


def test_a_channel_that_publishes_waits_for_confirms_and_raises_on_returns() -> None:
    assert PUBLISHER_CHANNEL == {"publisher_confirms": True, "on_return_raises": True}


def test_nodes_are_separated_by_commas() -> None:
    assert broker_urls("amqp://a/, amqp://b/ ,") == ["amqp://a/", "amqp://b/"]
    with pytest.raises(ValueError, match="AMQP_URL"):
        broker_urls(" , ")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("amqp://a/", "amqp://a/?heartbeat=10"),
        ("amqp://a/?x=1", "amqp://a/?x=1&heartbeat=10"),
        ("amqp://a/?heartbeat=3", "amqp://a/?heartbeat=3"),
    ],
)
def test_a_heartbeat_is_added_unless_the_url_names_one(url: str, expected: str) -> None:
    assert with_heartbeat(url, 10) == expected
