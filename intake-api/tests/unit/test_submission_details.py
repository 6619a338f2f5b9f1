"""Optional fields: stored as they are meant, or an error of their field."""

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from intake_api.exceptions import FieldError, InvalidFieldsError
from intake_api.submission import NewSubmission, check
from intake_api.submission_details import Details

from ..documents import PDF, lead_json


def checked(region: str = "", **changes: Any) -> NewSubmission:
    return check(lead_json(**changes), io.BytesIO(PDF), None, limit=1000, region=region)


def wrong(**changes: Any) -> set[str]:
    with pytest.raises(InvalidFieldsError) as raised:
        checked(**changes)
    return {one.field for one in raised.value.errors}


@pytest.mark.parametrize(
    ("typed", "region", "stored"),
    [
        ("+1 (212) 555-0100", "", "+12125550100"),
        ("+44 20 7946 0958", "", "+442079460958"),
        ("212 555 0100", "US", "+12125550100"),
        ("", "", None),
    ],
)
def test_a_phone_number_is_kept_in_e164(typed: str, region: str, stored: str | None) -> None:
    assert checked(region, phone=typed).details.phone == stored


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("phone", "212 555 0100"),
        ("phone", "call me"),
        ("phone", 12125550100),
        ("message", "a\0b"),
        ("message", "x" * 5001),
        ("practice_area", "a\nb"),
        ("language", "english please"),
        ("source", ["a"]),
        ("referrer", "x" * 2001),
        ("campaign", {}),
        ("consent", True),
    ],
)
def test_a_wrong_value_names_its_field(field: str, value: object) -> None:
    assert wrong(**{field: value}) == {field}


def test_all_wrong_fields_are_named_at_once() -> None:
    assert wrong(phone="x", language="?", consent_text="I agree", first_name="") == {
        "phone", "language", "consent", "first_name",
    }  # fmt: skip


def test_a_message_keeps_its_lines() -> None:
    assert checked(message=" one\r\ntwo\tthree ").details.message == "one\ntwo\tthree"


def test_nothing_given_is_nothing_stored_and_the_fingerprint_of_before() -> None:
    assert checked(phone="", message=None).details == Details()
    assert checked(phone="").fingerprint() == checked().fingerprint()
    assert checked(message="more").fingerprint() != checked().fingerprint()
    assert checked(form_token="a").fingerprint() == checked().fingerprint()


TEXTS = st.text() | st.sampled_from(["\ud800", "a\0b", "\uff1cscript\uff1e", "\u202e", "x" * 1_000_000, "\r\n.\r\n"])


@given(st.sampled_from(["phone", "message", "practice_area", "language", "source", "referrer", "campaign"]), TEXTS)
def test_s11_any_text_is_storable_or_an_error_of_its_field(field: str, text: str) -> None:
    errors: tuple[FieldError, ...] = ()
    try:
        value = getattr(checked(**{field: text}).details, field)
    except InvalidFieldsError as error:
        errors = error.errors
    if errors:
        assert {one.field for one in errors} == {field}
        assert not any(text in one.detail for one in errors if len(text) > 10)
    else:
        assert value is None or (value.encode() and "\0" not in value)
