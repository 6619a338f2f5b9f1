"""What a visitor sends is either refused by field or stored as it is."""

import io
import unicodedata
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from intake_api.exceptions import InvalidFieldsError
from intake_api.submission import NewSubmission, check, decode_json, display_name

from ..documents import PDF, lead_json

LIMIT = 1000


def checked(**changes: Any) -> NewSubmission:
    return check(lead_json(**changes), io.BytesIO(PDF), None, limit=LIMIT)


def wrong_fields(**changes: Any) -> set[str]:
    try:
        checked(**changes)
    except InvalidFieldsError as error:
        return {one.field for one in error.errors}
    return set()


@given(st.text())
def test_any_text_is_a_storable_name_or_an_error_of_its_field(text: str) -> None:
    if wrong_fields(first_name=text):
        assert wrong_fields(first_name=text) == {"first_name"}
    else:
        name = checked(first_name=text).first_name
        assert name == unicodedata.normalize("NFC", text).strip()
        assert name.encode()
        assert not set(name) & set("\0\r\n\u2028\u2029")


@given(st.text())
def test_any_text_is_one_address_or_an_error_of_its_field(text: str) -> None:
    if wrong_fields(email=text) != {"email"}:
        address = checked(email=text).email
        assert address.isascii()
        assert address.count("@") == 1
        assert not set(address) & set(" ,;<>\r\n\0")


@pytest.mark.parametrize("name", ["O'Brien", "李小龙", "Anne-Marie", "José", "Åsa Øst"])
def test_real_names_are_taken(name: str) -> None:
    assert checked(first_name=name).first_name == name


@pytest.mark.parametrize("address", ["a@b.example", "First.Last+tag@Sub.Example.COM", "x@müller.example"])
def test_real_addresses_are_taken(address: str) -> None:
    local, domain = checked(email=address).email.split("@")
    assert local == address.split("@", maxsplit=1)[0]
    assert domain == domain.lower()


def test_the_fingerprint_tells_submissions_apart() -> None:
    prints = {
        checked().fingerprint(),
        checked(first_name="Jane").fingerprint(),
        checked(email="x@y.example").fingerprint(),
    }
    assert len(prints) == 3
    assert checked().fingerprint() == checked().fingerprint()


def test_a_json_body_is_taken_apart() -> None:
    fields, content = decode_json(io.BytesIO(b'{"first_name": "A", "resume": "aGk="}'))
    assert content is not None
    with content:
        content.seek(0)
        assert (fields["first_name"], fields["resume"], content.read()) == ("A", None, b"hi")


@pytest.mark.parametrize(
    ("filename", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\cv.pdf", "cv.pdf"),
        ('a"; filename=evil.pdf', "a_; filename=evil.pdf"),
        ("a\r\nSet-Cookie: x.pdf", "a__Set-Cookie_ x.pdf"),
        ("cv\u202efdp.exe", "cv_fdp.exe"),
        (".htaccess", "htaccess"),
        ("x" * 5000 + ".pdf", "x" * 251 + ".pdf"),
        ("", ""),
        (None, ""),
    ],
)
def test_a_file_name_is_made_fit_to_show(filename: str | None, shown: str) -> None:
    assert display_name(filename) == shown


def test_a_long_run_of_combining_marks_is_refused_without_being_normalised(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    normalize = unicodedata.normalize

    def measured(form: Literal["NFC", "NFD", "NFKC", "NFKD"], text: str) -> str:
        lengths.append(len(text))
        return normalize(form, text)

    monkeypatch.setattr(unicodedata, "normalize", measured)
    assert wrong_fields(first_name="a" + "\u0301\u0316" * 500_000) == {"first_name"}
    assert max(lengths, default=0) <= 400
