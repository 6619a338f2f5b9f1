"""An envelope is read from anything, and an event only from what is one."""

import hashlib
import json
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from faststream.rabbit import RabbitMessage
from service_chassis.envelope import Envelope, PoisonError
from shared_schemas.events import EVENTS, LeadClosed
from shared_schemas.topology import ASSIGNMENT_LEADS

LEAD = UUID("3f0c9d1e-5a44-4d6b-9c53-0c8a6a1f2b77")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
QUEUE = ASSIGNMENT_LEADS.name
BODY = LeadClosed(lead_id=LEAD, epoch=1).model_dump_json().encode()
KNOWN = {event.type: event for event in EVENTS}


def envelope(**changes: Any) -> Envelope:
    """The envelope of a message; ``changes`` are AMQP properties, ``headers`` and ``redelivered``."""
    raw = {
        "body": BODY,
        "message_id": "0193a7c4-5a11-7000-8000-000000000001",
        "type": LeadClosed.type,
        "timestamp": None,
        "headers": {},
        "redelivered": False,
        **changes,
    }
    return Envelope.of(QUEUE, cast(RabbitMessage, SimpleNamespace(raw_message=SimpleNamespace(**raw))))


def death(count: object, *, queue: str = QUEUE, reason: str = "rejected") -> dict[str, object]:
    return {"queue": queue, "reason": reason, "count": count, "exchange": "", "routing-keys": [queue]}


def test_a_plain_message() -> None:
    found = envelope(headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "x-own": "1"})
    assert found.parse(KNOWN) == LeadClosed(lead_id=LEAD, epoch=1)
    assert found.trace_id == TRACE
    assert found.lead_id() == LEAD
    assert found.headers == {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "x-own": "1"}
    assert (found.rejections, found.is_suspect, found.is_redelivered) == (0, False, False)


@pytest.mark.parametrize(
    ("redelivered", "delivery_count", "deaths", "rejections", "suspect", "again"),
    [
        (False, None, [], 0, False, False),  # first time
        (False, None, [death(2)], 2, False, True),  # back from our reject
        (True, 1, [], 0, True, True),  # a process died with it
        (True, None, [], 0, False, True),  # redelivered, but no delivery was counted
        (True, 4, [death(2)], 2, True, True),  # rejected twice, then a process died with it
        (False, None, [death(9, queue="other.queue")], 0, False, False),
        (False, None, [death(9, reason="expired"), death(3)], 3, False, True),
        (False, None, [death(1), death(2)], 3, False, True),
    ],
)
def test_suspects_and_rejections(
    redelivered: bool,
    delivery_count: int | None,
    deaths: list[dict[str, object]],
    rejections: int,
    suspect: bool,
    again: bool,
) -> None:
    headers: dict[str, object] = {"x-death": deaths} if deaths else {}
    if delivery_count is not None:
        headers["x-delivery-count"] = delivery_count
    found = envelope(redelivered=redelivered, headers=headers)
    assert (found.rejections, found.is_suspect, found.is_redelivered) == (rejections, suspect, again)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-death": "not a list"},
        {"x-death": ["not a table", None, 7]},
        {"x-death": [death("many")]},
        {"x-death": [death(None)]},
        {"x-death": [{"queue": QUEUE, "reason": "rejected"}]},
        {"x-delivery-count": "x"},
        {"traceparent": 7},
        {"traceparent": b"\xff"},
        {"": None, "table": {"a": [1]}, "bytes": b"\xff\x00"},
        None,
    ],
    ids=repr,
)
def test_an_envelope_is_read_whatever_the_headers_are(headers: dict[str, object] | None) -> None:
    found = envelope(headers=headers)
    assert found.rejections == 0
    assert found.trace_id is None
    assert found.parse(KNOWN)


def test_the_brokers_own_headers_are_not_the_senders() -> None:
    broker = {"x-death": [], "x-delivery-count": 1, "x-first-death-queue": "q", "x-first-death-reason": "rejected"}
    broker |= {"x-first-death-exchange": "", "x-last-death-queue": "q", "x-last-death-reason": "expired"}
    broker |= {"x-last-death-exchange": "", "x-acquired-count": 3}
    assert envelope(headers={**broker, "mine": "kept"}).headers == {"mine": "kept"}


@pytest.mark.parametrize("message_id", [None, ""])
def test_a_message_without_id_is_known_by_its_body(message_id: str | None) -> None:
    found = envelope(message_id=message_id)
    assert not found.has_own_id
    assert found.message_id == f"sha256:{hashlib.sha256(BODY).hexdigest()}"
    with pytest.raises(PoisonError, match="missing_message_id"):
        found.parse(KNOWN)


def test_an_id_that_no_database_can_hold_is_no_id() -> None:
    found = envelope(message_id="with\x00nul")
    assert not found.has_own_id
    assert "\x00" not in found.message_id


@pytest.mark.parametrize("name", [None, "", "lead.closed", "lead.closed.v2", "LEAD.CLOSED.V1", "lead.invented.v1"])
def test_an_unknown_type_or_version_is_poison(name: str | None) -> None:
    with pytest.raises(PoisonError) as caught:
        envelope(type=name).parse(KNOWN)
    assert caught.value.reason == "unknown_type"


def test_an_event_that_this_queue_does_not_hear_is_poison() -> None:
    with pytest.raises(PoisonError, match="unknown_type"):
        envelope().parse({event.type: event for event in EVENTS if event is not LeadClosed})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe\x00",
        b"\xef\xbb\xbf{}",
        BODY + b"x",
        b"[" * 100_000,
        json.dumps({"lead_id": "not a uuid", "epoch": 1}).encode(),
        json.dumps({"epoch": 1}).encode(),
        json.dumps({"lead_id": str(LEAD), "epoch": "CANARY"}).encode(),
    ],
    ids=lambda body: repr(body[:20]),
)
def test_a_body_that_is_no_event_is_poison_and_is_not_quoted(body: bytes) -> None:
    found = envelope(body=body)
    with pytest.raises(PoisonError) as caught:
        found.parse(KNOWN)
    assert str(caught.value) == "invalid_body"
    assert "CANARY" not in repr(caught.value.__cause__)
    found.lead_id()


@pytest.mark.parametrize(
    ("body", "lead"),
    [
        (json.dumps({"lead_id": str(LEAD)}).encode(), LEAD),
        (json.dumps({"lead_id": str(LEAD), "epoch": "wrong"}).encode(), LEAD),
        (json.dumps({"lead_id": 7}).encode(), None),
        (json.dumps({"other": 7}).encode(), None),
        (json.dumps([1]).encode(), None),
        (b"[" * 100_000, None),
        (b"\xff", None),
        (b"9" * 5000, None),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_the_lead_of_a_message_as_far_as_it_can_be_read(body: bytes, lead: UUID | None) -> None:
    assert envelope(body=body).lead_id() == lead


def test_an_envelope_shows_neither_body_nor_headers() -> None:
    found = envelope(body=b"CANARY", headers={"x": "CANARY"})
    assert "CANARY" not in repr(found)
