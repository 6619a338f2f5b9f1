"""The token of a prospect's link: made again it is the same, changed by anybody it is none."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from itsdangerous import URLSafeSerializer
from pydantic import SecretStr
from service_chassis.prospect_link import LONGEST, InvalidLinkError, LinkTokens

KEY = "a-key-of-tests-that-is-long-enough"
TOKENS = LinkTokens(SecretStr(KEY))
LINK = UUID(int=7)
EXPIRES = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
BEFORE = EXPIRES - timedelta(seconds=1)


def test_it_is_the_same_each_time_and_tells_its_link() -> None:
    token = TOKENS.issue(LINK, EXPIRES)
    assert token == LinkTokens(SecretStr(KEY)).issue(LINK, EXPIRES)
    assert TOKENS.read(token, BEFORE) == LINK
    assert len(token) <= LONGEST


def test_it_is_over_when_its_time_is() -> None:
    with pytest.raises(InvalidLinkError):
        TOKENS.read(TOKENS.issue(LINK, EXPIRES), EXPIRES)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "never",
        TOKENS.issue(LINK, EXPIRES)[:-1],
        TOKENS.issue(LINK, EXPIRES) + "x",
        TOKENS.issue(uuid4(), EXPIRES).rpartition(".")[0] + "." + TOKENS.issue(LINK, EXPIRES).rpartition(".")[2],
        LinkTokens(SecretStr("another-key-that-is-long-enough-too")).issue(LINK, EXPIRES),
        str(URLSafeSerializer(KEY, salt="another purpose").dumps([LINK.hex, int(EXPIRES.timestamp())])),
        "x" * (LONGEST + 1),
    ],
)
def test_what_is_not_ours_for_this_purpose_is_refused(token: str) -> None:
    with pytest.raises(InvalidLinkError):
        TOKENS.read(token, BEFORE)


def test_the_key_is_not_shown() -> None:
    assert KEY not in repr(TOKENS) + repr(vars(TOKENS))
