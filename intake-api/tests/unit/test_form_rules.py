"""Pure rules of the public form: form tokens, suspicion, whose address a proxy may give."""

import io
from ipaddress import ip_network
from typing import Any

import pytest
from intake_api.client_address import client_of
from intake_api.form_token import FormTokens
from intake_api.spam_rules import suspicions
from intake_api.submission import check

from ..documents import PDF, lead_json

TOKENS = FormTokens(b"k" * 32, minimum=2, lifetime=3600, required=False)
NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("age", "problem"),
    [(0, "form-filled-too-fast"), (1.9, "form-filled-too-fast"), (3, None), (3601, "form-token-expired")],
)
def test_s21_a_form_token_tells_how_long_a_form_was_filled_in(age: float, problem: str | None) -> None:
    assert TOKENS.problem(TOKENS.issue(NOW), NOW + age) == problem


def test_s21_a_form_token_of_another_key_is_none() -> None:
    other = FormTokens(b"o" * 32, minimum=2, lifetime=3600, required=False)
    assert TOKENS.problem(other.issue(NOW), NOW + 10) == "form-token-invalid"
    for text in ("", "x", "\u00e9", "A" * 64):
        assert TOKENS.problem(text, NOW) == "form-token-invalid"


def test_s21_a_missing_token_counts_where_tokens_are_required() -> None:
    assert TOKENS.problem(None, NOW) is None
    assert FormTokens(b"k", 2, 3600, required=True).problem(None, NOW) == "no-form-token"


def found(**changes: Any) -> tuple[str, ...]:
    return suspicions(check(lead_json(**changes), io.BytesIO(PDF), None, limit=1000), None)


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ({}, ()),
        ({"first_name": "J.R.", "last_name": "St.John-O'Brien"}, ()),
        ({"first_name": "Dr. A. & Co", "last_name": "von Süd <3"}, ()),
        ({"first_name": "win at https://x.example"}, ("url-in-name",)),
        ({"last_name": "cheap-pills.com"}, ("url-in-name",)),
        ({"first_name": "<b>Bold</b>"}, ("markup-in-name",)),
        ({"first_name": "{{7*7}}"}, ("markup-in-name",)),
        ({"first_name": "[url=www.x.example]"}, ("url-in-name", "markup-in-name")),
        ({"website": "https://x.example"}, ("honeypot",)),
        ({"message": "see https://me.example"}, ()),
        ({"message": "http://a " * 5}, ("many-links",)),
    ],
)
def test_s21_what_makes_a_submission_suspect(changes: dict[str, Any], reasons: tuple[str, ...]) -> None:
    assert found(**changes) == reasons


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.1", "10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1", "not an address"], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.3", "10.0.0.2"], "10.0.0.3"),
    ],
)
def test_s19_only_trusted_proxies_say_who_the_client_is(peer: str, forwarded: list[str], client: str) -> None:
    assert client_of(peer, forwarded, [ip_network("10.0.0.0/8")]) == client
