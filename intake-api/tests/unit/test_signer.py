"""Signed values: for one purpose, by one of our keys, unchanged."""

import pytest
from intake_api.signer import LONGEST, Signer, UnsignedError

KEYS = [b"an old key", b"the key in use"]
SIGNER = Signer(lambda: KEYS)
VALUE = ["11111111111141118111111111111111", 1]


def test_a_value_comes_back_for_its_own_purpose_only() -> None:
    text = SIGNER.sign("receipt", VALUE)
    assert SIGNER.read("receipt", text) == VALUE
    with pytest.raises(UnsignedError):
        SIGNER.read("cursor", text)


def test_the_last_key_signs_and_a_retired_one_signs_no_more() -> None:
    text = SIGNER.sign("receipt", VALUE)
    assert Signer(lambda: KEYS[1:]).read("receipt", text) == VALUE
    with pytest.raises(UnsignedError):
        Signer(lambda: KEYS[:1]).read("receipt", text)


@pytest.mark.parametrize("text", ["", ".", "x", "WyIxIl0", "WyIxIl0.", "é.ü", "x" * (LONGEST + 1)])
def test_what_we_did_not_sign_is_refused(text: str) -> None:
    with pytest.raises(UnsignedError):
        SIGNER.read("receipt", text)
