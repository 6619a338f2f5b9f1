"""Contracts only grow: every golden message parses for ever, and each event has the fields promised."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError
from shared_schemas.events import EVENTS, Event, LeadRegistered, MessageDeadLettered

GOLDEN = Path(__file__).parent.parent / "golden"
BY_TYPE = {event.type: event for event in EVENTS}

LEAD_STATE = (
    "lead_id epoch decision_seen outreach first_name last_name email practice_area? language? keep_attorney_id? "
    "attorney? registered_at"
)
DELIVERY = "lead_id delivery_id kind"
FIELDS = {
    "lead.registered.v1": LEAD_STATE,
    "lead.reassigned.v1": LEAD_STATE,
    "lead.reopened.v1": LEAD_STATE,
    "lead.closed.v1": "lead_id epoch decision_seen",
    "lead.erased.v1": "lead_id epoch decision_seen",
    "lead.assigned.v1": "lead_id epoch decision outreach first_name last_name email attorney explanation assigned_at",
    "lead.waiting.v1": "lead_id epoch decision reason explanation",
    "attorney.changed.v1": "attorney_id version name email available capacity? practice_areas languages absences",
    "outreach.requested.v1": "request_id lead_id epoch kind first_name last_name email attorney after_delivery_id?",
    "outreach.cancelled.v1": "lead_id epoch kind",
    "prospect-link.requested.v1": "link_id lead_id email expires_at",
    "lead.reached-out.v1": f"{DELIVERY} attorney_id message_id attempts ambiguous sent_at",
    "outreach.deferred.v1": f"{DELIVERY} attempt reason ambiguous next_attempt_at?",
    "outreach.failed.v1": f"{DELIVERY} reason smtp_code? attempts",
    "lead.data-erased.v1": "lead_id service counts",
    "message.dead-lettered.v1": (
        "queue message_id? message_type? headers correlation_id? lead_id? attempts error_type error_place body "
        "body_truncated body_sha256?"
    ),
}
"""What hearers may count on, event by event; ``?``: may be absent or null. A dead letter's ``type`` is
``message_type`` here (``type`` names the event itself), its trace is kept for the replay, and a cut body says so
(its hash is of the whole)."""

NEVER_CARRIED = {"resume", "phone", "message", "notes", "note_text", "resume_key", "resume_url", "file", "body_text"}


def golden(name: str) -> str:
    return (GOLDEN / f"{name}.json").read_text(encoding="utf-8")


def models_in(event: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The model and every model inside it."""
    yield event
    for field in event.model_fields.values():
        pending: list[Any] = [field.annotation]
        while pending:
            annotation = pending.pop()
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                yield from models_in(annotation)
            pending.extend(get_args(annotation))


def test_every_event_has_its_golden_messages_and_no_golden_message_is_without_event() -> None:
    expected = {f"{name}{variant}.json" for name in BY_TYPE for variant in ("", ".required", ".later")}
    assert {path.name for path in GOLDEN.iterdir()} == expected


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_a_golden_message_round_trips_equal(event: type[Event]) -> None:
    parsed = event.model_validate_json(golden(event.type))
    again = event.model_validate_json(parsed.model_dump_json())
    assert again == parsed
    assert event.model_validate_json(again.model_dump_json()).model_dump_json() == parsed.model_dump_json()


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_a_golden_message_is_complete_and_nothing_of_it_is_dropped(event: type[Event]) -> None:
    written = json.loads(golden(event.type))
    assert set(written) == set(event.model_fields)
    said = event.model_validate(written).model_dump(mode="json")
    parsed_again = event.model_validate(said)
    assert parsed_again == event.model_validate(written)
    for name, value in written.items():
        if not name.endswith("_at") and not isinstance(value, dict | list):
            assert said[name] == value, name


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_a_message_with_only_the_required_fields_parses(event: type[Event]) -> None:
    written = json.loads(golden(f"{event.type}.required"))
    assert set(written) == {name for name, field in event.model_fields.items() if field.is_required()}
    parsed = event.model_validate(written)
    assert event.model_validate_json(parsed.model_dump_json()) == parsed


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_each_required_field_is_asked_for(event: type[Event]) -> None:
    written = json.loads(golden(f"{event.type}.required"))
    for name in written:
        with pytest.raises(ValidationError):
            event.model_validate({key: value for key, value in written.items() if key != name})


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_a_field_added_later_is_ignored(event: type[Event]) -> None:
    later = event.model_validate_json(golden(f"{event.type}.later"))
    assert later == event.model_validate_json(golden(event.type))
    assert "added_later" not in later.model_dump()


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_fields_are_those_of_the_design(event: type[Event]) -> None:
    names = FIELDS[event.type].split()
    assert set(event.model_fields) == {name.rstrip("?") for name in names}
    nullable = {name for name, field in event.model_fields.items() if type(None) in get_args(field.annotation)}
    assert nullable == {name.rstrip("?") for name in names if name.endswith("?")}


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_s52_no_event_carries_what_a_visitor_told_us_in_confidence(event: type[Event]) -> None:
    for model in models_in(event):
        assert not NEVER_CARRIED & set(model.model_fields), model.__name__


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_an_event_cannot_be_changed(event: type[Event]) -> None:
    parsed = event.model_validate_json(golden(event.type))
    name = next(iter(event.model_fields))
    with pytest.raises(ValidationError):
        setattr(parsed, name, getattr(parsed, name))


def test_types_are_unique_versioned_and_their_routing_key_has_no_version() -> None:
    assert len(BY_TYPE) == len(EVENTS) == len(FIELDS) == 16
    for event in EVENTS:
        subject, _, version = event.type.rpartition(".v")
        assert version == "1"
        assert event.routing_key() == subject


def test_every_defined_event_is_listed() -> None:
    def leaves(event: type[Event]) -> Iterator[type[Event]]:
        if "type" in event.__dict__:
            yield event
        for child in event.__subclasses__():
            yield from leaves(child)

    assert set(leaves(Event)) == set(EVENTS)


def test_a_dead_letter_keeps_any_bytes() -> None:
    body = bytes(range(256)) + b"\xff\xfe{"
    dead = MessageDeadLettered(queue="q", attempts=1, error_type="T", error_place="p", body=body)
    assert MessageDeadLettered.model_validate_json(dead.model_dump_json()).body == body


def test_what_was_typed_is_not_quoted_when_it_does_not_fit() -> None:
    written = json.loads(golden("lead.registered.v1")) | {"epoch": "CANARY-typed"}
    with pytest.raises(ValidationError) as caught:
        LeadRegistered.model_validate(written)
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("lead.registered.v1", "epoch", -1),
        ("lead.registered.v1", "registered_at", "2026-11-24T09:15:30"),
        ("lead.assigned.v1", "decision", 0),
        ("lead.waiting.v1", "reason", "out_for_lunch"),
        ("outreach.failed.v1", "reason", "tired"),
        ("outreach.requested.v1", "kind", "advertisement"),
        ("attorney.changed.v1", "version", 0),
        ("attorney.changed.v1", "capacity", -1),
    ],
)
def test_a_value_out_of_range_is_refused(name: str, field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        BY_TYPE[name].model_validate(json.loads(golden(name)) | {field: value})


@pytest.mark.parametrize("body", ["_-8=", "/+8="])
def test_a_dead_letters_body_is_read_in_either_base64_alphabet(body: str) -> None:
    written = json.loads(golden("message.dead-lettered.v1")) | {"body": body}
    assert MessageDeadLettered.model_validate_json(json.dumps(written)).body == b"\xff\xef"
