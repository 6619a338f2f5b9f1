"""S30-S34: which access tokens are taken, and which keys sign them."""

import base64
import hashlib
import hmac
import json
import socket
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from intake_api.exceptions import NotAuthenticatedError
from intake_api.settings import IntakeSettings
from intake_api.signing_keys import SigningKeys
from intake_api.tokens import LEEWAY_S, AccessTokens
from pydantic import SecretStr, ValidationError

SECRET = "kD3vX8mQ1zR5tY7wB2nL9sJ4hG6fC0aE"
OTHER = "wB2nL9sJ4hG6fC0aEkD3vX8mQ1zR5tY7"
HEADER = {"alg": "HS256", "typ": "at+jwt", "kid": "only"}


def b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def forge(header: dict[str, Any], claims: dict[str, Any] | str, secret: str | bytes = SECRET) -> str:
    """A token of any shape, with a right signature for the secret."""
    payload = claims if isinstance(claims, str) else json.dumps(claims)
    signed = f"{b64(json.dumps(header).encode())}.{b64(payload.encode())}"
    key = secret.encode() if isinstance(secret, str) else secret
    return f"{signed}.{b64(hmac.digest(key, signed.encode(), hashlib.sha256))}"


def good_claims(**changes: object) -> dict[str, Any]:
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": "intake-api", "aud": "intake-api", "sub": str(uuid4()), "sid": str(uuid4()), "jti": str(uuid4()),
        "iat": now - 100, "nbf": now - 100, "exp": now + 100,
    }  # fmt: skip
    return {**claims, **changes}


@pytest.fixture
def tokens() -> AccessTokens:
    return AccessTokens(SigningKeys(SecretStr(SECRET), None, lambda _: None), "intake-api", 900)


def refused(tokens: AccessTokens, token: str) -> None:
    with pytest.raises(NotAuthenticatedError):
        tokens.read(token)


def test_s30_a_token_of_the_one_right_shape_is_taken(tokens: AccessTokens) -> None:
    claims = good_claims()
    assert str(tokens.read(forge(HEADER, claims)).account_id) == claims["sub"]
    account, session = uuid4(), uuid4()
    read = tokens.read(tokens.sign(account, session).value)
    assert (read.account_id, read.session_id) == (account, session)


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "HS384", "HS512", "RS256", "ES256", "", None, 5, ["HS256"]])
def test_s30_only_one_algorithm_counts_whatever_the_token_says(tokens: AccessTokens, alg: object) -> None:
    token = forge({**HEADER, "alg": alg}, good_claims())
    refused(tokens, token)
    refused(tokens, token.rpartition(".")[0] + ".")


def test_s30_a_public_key_is_no_secret_and_a_private_one_no_signer(tokens: AccessTokens) -> None:
    private = rsa.generate_private_key(65537, 2048)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    refused(tokens, forge(HEADER, good_claims(), public))
    refused(tokens, jwt.encode(good_claims(), private, "RS256", {"typ": "at+jwt", "kid": "only"}))


def test_s30_altered_parts_are_refused(tokens: AccessTokens) -> None:
    header, payload, signature = forge(HEADER, good_claims()).split(".")
    other = b64(json.dumps(good_claims(sub=str(uuid4()))).encode())
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    unused_bits = signature[:-1] + last[last.index(signature[-1]) ^ 1]
    for token in (
        f"{header}.{other}.{signature}",
        f"{header}.{payload}.",
        f"{header}.{payload}",
        f"{header}.{payload}.{signature}=",
        f"{header}.{payload}=.{signature}",
        f"{header}.{payload}.{signature}.{signature}",
        f"{header}.{payload}.{unused_bits}",
        f" {header}.{payload}.{signature}",
        f"{header}.{payload}.{signature}\n",
        f"{header}.{payload}.{signature[:-4]}",
        "x" * 100_000,
        "",
        "..",
    ):
        refused(tokens, token)


@pytest.mark.parametrize(
    "extra", [{"crit": ["exp"]}, {"crit": ["b64"], "b64": False}, {"zip": "DEF"}, {"cty": "JWT"}, {"enc": "A128GCM"}]
)
def test_s30_headers_without_meaning_here_are_refused(tokens: AccessTokens, extra: dict[str, Any]) -> None:
    refused(tokens, forge({**HEADER, **extra}, good_claims()))


@pytest.mark.parametrize(
    "kid", ["../../dev/null", "only' OR '1'='1", "http://127.0.0.1/k", "unknown", "", "ONLY", None, 1, ["only"], {}]
)
def test_s31_an_unknown_key_id_is_refused(tokens: AccessTokens, kid: object) -> None:
    for secret in (SECRET, b""):
        refused(tokens, forge({**HEADER, "kid": kid}, good_claims(), secret))
    refused(tokens, forge({"alg": "HS256", "typ": "at+jwt"}, good_claims()))


def test_s31_no_header_makes_us_fetch_a_key(tokens: AccessTokens) -> None:
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.setblocking(False)
        url = f"http://127.0.0.1:{canary.getsockname()[1]}/keys"
        own = {"kty": "oct", "k": b64(OTHER.encode()), "kid": "only"}
        for extra in ({"jku": url}, {"x5u": url}, {"jwk": own}, {"x5c": ["AAAA"]}):
            refused(tokens, forge({**HEADER, **extra}, good_claims(), OTHER))
            refused(tokens, forge({**HEADER, **extra}, good_claims()))
        refused(tokens, forge({**HEADER, "kid": url}, good_claims()))
        with pytest.raises(BlockingIOError):
            canary.accept()


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "sid", "jti", "iat", "nbf", "exp"])
@pytest.mark.parametrize("wrong", ["missing", None, True, 12.5, [], {}, ["intake-api"], -1])
def test_s32_every_claim_is_required_and_of_its_type(tokens: AccessTokens, name: str, wrong: object) -> None:
    if name in {"iat", "nbf"} and wrong == -1:
        wrong = 2**63
    claims = good_claims(**{name: wrong})
    if wrong == "missing":
        del claims[name]
    refused(tokens, forge(HEADER, claims))


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "sid"])
def test_s32_issuer_audience_and_ids_are_ours(tokens: AccessTokens, name: str) -> None:
    refused(tokens, forge(HEADER, good_claims(**{name: "else"})))


@pytest.mark.parametrize("typ", ["JWT", "refresh", "rt+jwt", "id", "at+JWT", "", None])
def test_s32_another_type_of_token_gives_no_access(tokens: AccessTokens, typ: str | None) -> None:
    refused(tokens, forge({**HEADER, "typ": typ}, good_claims()))
    refused(tokens, forge({"alg": "HS256", "kid": "only"}, good_claims()))


@pytest.mark.parametrize("payload", ["[]", "null", '"text"', "{", '{"sub": 1}'])
def test_s32_a_payload_that_is_no_claims_is_refused(tokens: AccessTokens, payload: str) -> None:
    refused(tokens, forge(HEADER, payload))


def test_s33_clocks_may_differ_by_the_leeway_and_no_more(tokens: AccessTokens) -> None:
    assert LEEWAY_S <= 60
    now = int(time.time())
    for exp in (now + 1, now - LEEWAY_S + 5):
        assert tokens.read(forge(HEADER, good_claims(exp=exp))).exp == exp
    refused(tokens, forge(HEADER, good_claims(exp=now - LEEWAY_S - 1)))
    assert tokens.read(forge(HEADER, good_claims(nbf=now + LEEWAY_S - 5)))
    refused(tokens, forge(HEADER, good_claims(nbf=now + LEEWAY_S + 5)))
    refused(tokens, forge(HEADER, good_claims(iat=now + LEEWAY_S + 5, exp=now + 1000)))


@pytest.mark.parametrize("exp", [-1, 0, 1e12, 10**30, 2**63, float("inf"), float("nan")])
def test_s33_no_expiry_is_so_far_or_so_odd_that_it_never_comes(tokens: AccessTokens, exp: float) -> None:
    refused(tokens, forge(HEADER, good_claims(exp=exp)))


def from_file(path: Path) -> AccessTokens:
    settings = IntakeSettings(
        environment="test",
        database_url="postgresql://x",
        amqp_url="amqp://x",
        auth_keys_file=path,
        link_key=OTHER,
    )
    return AccessTokens(SigningKeys(settings.auth_secret, path, settings.secret_problem), "intake-api", 900)


def rewrite(path: Path, content: str) -> None:
    """Replace the file as an operator or an orchestrator does: a new file, moved over the old one."""
    path.with_suffix(".new").write_text(content)
    path.with_suffix(".new").replace(path)


def test_s34_keys_rotate_without_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"old:{SECRET}\n")
    tokens = from_file(file)
    before = tokens.sign(uuid4(), uuid4()).value
    rewrite(file, f"new:{OTHER}\nold:{SECRET}\n")
    after = tokens.sign(uuid4(), uuid4()).value
    assert jwt.get_unverified_header(before)["kid"] == "old"
    assert jwt.get_unverified_header(after)["kid"] == "new"
    assert tokens.read(before)
    assert tokens.read(after)
    rewrite(file, f"new:{OTHER}\n")
    refused(tokens, before)
    assert tokens.read(after)


def test_s34_a_file_that_became_unreadable_leaves_the_keys_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"old:{SECRET}\n")
    tokens = from_file(file)
    token = tokens.sign(uuid4(), uuid4()).value
    rewrite(file, "nonsense")
    assert tokens.read(token)
    file.unlink()
    assert tokens.read(token)
    rewrite(file, f"new:{OTHER}\n")
    refused(tokens, token)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a:short", "line 1 is shorter than 32 bytes"),
        (f"a:{SECRET}\nb:{'change-me-' * 4}", "line 2 looks like a placeholder"),
        (f"a:{SECRET}\na:{OTHER}", "line 2 repeats a kid"),
        (SECRET, "line 1 is not kid:secret"),
        ("", "there is no key"),
    ],
)
def test_s34_weak_or_doubled_keys_are_refused_at_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, said: str
) -> None:
    monkeypatch.delenv("LEADS_ENVIRONMENT", raising=False)
    file = tmp_path / "keys"
    file.write_text(content)
    url = "://leads:f3k9d0s8a7w5q2z6@127.0.0.1/x"
    with pytest.raises(ValidationError, match=said) as caught:
        IntakeSettings(database_url=f"postgresql{url}", amqp_url=f"amqp{url}", auth_keys_file=file, link_key=OTHER)
    assert SECRET not in str(caught.value)
