"""Logging in by an identity provider: who it says somebody is, and no more than that."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import jwt
import pytest
from intake_api.oidc import FRESH_S, OidcIssuer
from intake_api.settings import IntakeSettings
from intake_api.use_cases.throttle_login import FREE_OF_PAIR
from pydantic import ValidationError

from .conftest import Intake
from .identity_provider import CLIENT_ID, NONCE, Provider, identity_provider

OIDC = "/api/v1/auth/oidc"


@pytest.fixture
async def provider(intake: Intake, staff: httpx.AsyncClient) -> AsyncIterator[Provider]:
    """A provider that the running application trusts, and an account without a password for eve@firm.test."""
    made = await staff.post("/api/v1/users", json={"email": "eve@firm.test", "role": "intake"})
    assert made.status_code == 201
    app = intake.client._transport.app  # type: ignore[attr-defined] # the application that the fixture runs
    async with identity_provider() as running:
        app.state.outside = replace(app.state.outside, oidc=OidcIssuer(running.url, CLIENT_ID))
        yield running


async def log_in(intake: Intake, token: str, nonce: str = NONCE) -> httpx.Response:
    return await intake.client.post(OIDC, json={"id_token": token, "nonce": nonce})


async def forgive(intake: Intake) -> None:
    """Forget failures, which would delay the next try."""
    await intake.database.execute("DELETE FROM login_throttles")


async def test_it_is_off_unless_configured(intake: Intake) -> None:
    for answer in (await intake.client.get(OIDC), await log_in(intake, "x")):
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:problem:oidc-off")


async def test_a_verified_address_finds_its_account_and_is_bound_to_the_subject(
    intake: Intake, provider: Provider
) -> None:
    assert (await intake.client.get(OIDC)).json() == {"issuer": provider.url, "client_id": CLIENT_ID}
    answer = await log_in(intake, provider.token())
    assert answer.status_code == 200, answer.text
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    me = (await intake.client.get("/api/v1/auth/me", headers=headers)).json()
    assert (me["email"], me["role"], me["has_password"]) == ("eve@firm.test", "intake", False)
    renamed = await log_in(intake, provider.token(email="new.name@firm.test"))
    assert renamed.status_code == 200
    assert (await log_in(intake, provider.token(sub="subject-2"))).status_code == 401
    refreshed = await intake.client.post("/api/v1/auth/refresh", json={"refresh_token": answer.json()["refresh_token"]})
    assert refreshed.status_code == 200


async def test_a_token_is_traded_once(intake: Intake, provider: Provider) -> None:
    token = provider.token()
    assert [(await log_in(intake, token)).status_code for _ in range(2)] == [200, 401]


async def test_a_disabled_account_stays_out(intake: Intake, provider: Provider) -> None:
    await intake.database.execute("UPDATE accounts SET disabled_at = now() WHERE email = 'eve@firm.test'")
    assert (await log_in(intake, provider.token())).status_code == 401


async def test_s39_a_client_whose_tokens_are_refused_waits_and_no_other_does(
    intake: Intake, provider: Provider
) -> None:
    statuses = [(await log_in(intake, "nonsense")).status_code for _ in range(FREE_OF_PAIR + 1)]
    assert statuses == [401] * FREE_OF_PAIR + [429]
    token = provider.token()
    waiting = await log_in(intake, token)
    assert (waiting.status_code, int(waiting.headers["Retry-After"]) >= 1) == (429, True)
    app = intake.client._transport.app  # type: ignore[attr-defined] # the application that the fixture runs
    transport = httpx.ASGITransport(app, client=("203.0.113.9", 1234))
    async with httpx.AsyncClient(transport=transport, base_url="http://intake") as elsewhere:
        assert (await elsewhere.post(OIDC, json={"id_token": token, "nonce": NONCE})).status_code == 200
    await intake.database.execute("UPDATE login_throttles SET blocked_until = now()")
    assert (await log_in(intake, provider.token())).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.test"},
        {"aud": "another client"},
        {"aud": [CLIENT_ID, "another client"]},
        {"azp": "another client"},
        {"exp": timedelta(seconds=-60)},
        {"exp": None},
        {"iat": timedelta(seconds=-FRESH_S - 60)},
        {"iat": None},
        {"nonce": "another nonce"},
        {"nonce": None},
        {"sub": None},
        {"email_verified": False},
        {"email_verified": "true"},
        {"email": "stranger@firm.test"},
        {"email": None},
    ],
    ids=str,
)
async def test_s32_a_token_that_is_not_for_us_now_is_refused(
    intake: Intake, provider: Provider, changes: dict[str, Any]
) -> None:
    now = int(time.time())
    claims: dict[str, Any] = {
        name: now + int(value.total_seconds()) if isinstance(value, timedelta) else value
        for name, value in changes.items()
    }
    answer = await log_in(intake, provider.token(**claims))
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:problem:invalid-credentials")


async def test_s30_algorithms_and_keys_are_the_providers_own(intake: Intake, provider: Provider) -> None:
    provider.add_key("curve", "ES256")
    assert (await log_in(intake, provider.token("curve"))).status_code == 200
    good = provider.token()
    claims = jwt.decode(good, options={"verify_signature": False})
    other = Provider(url=provider.url)
    other.add_key("first")
    for token in (
        jwt.encode(claims, "", "none", {"kid": "first"}),
        jwt.encode(claims, "k" * 32, "HS256", {"kid": "first"}),
        jwt.encode(claims, provider.keys["first"][0], "RS256"),
        jwt.encode(claims, provider.keys["first"][0], "PS256", {"kid": "first"}),
        jwt.encode(claims, provider.keys["curve"][0], "ES256", {"kid": "first"}),
        other.token(),
        good[:-6],
        "nonsense",
    ):
        assert (await log_in(intake, token)).status_code == 401
        await forgive(intake)


async def test_a_new_key_is_fetched_but_not_for_every_invented_one(intake: Intake, provider: Provider) -> None:
    assert (await log_in(intake, provider.token())).status_code == 200
    provider.add_key("invented")
    for _ in range(5):
        assert (await log_in(intake, provider.token("invented"))).status_code == 401
    await forgive(intake)
    assert provider.fetches == 1
    app = intake.client._transport.app  # type: ignore[attr-defined] # the application that the fixture runs
    app.state.outside.oidc._fetched_at -= 60
    assert (await log_in(intake, provider.token("invented"))).status_code == 200
    assert provider.fetches == 2


async def test_a_provider_that_is_away_or_another_one_is_503(intake: Intake, provider: Provider) -> None:
    provider.says_it_is = "http://other.test"
    answer = await log_in(intake, provider.token())
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:problem:identity-provider-away")
    assert answer.headers["Retry-After"]


@pytest.mark.parametrize(
    ("issuer", "client_id", "said"),
    [("https://login.firm.test", "", "OIDC_CLIENT_ID"), ("http://login.firm.test", "x", "https")],
)
def test_half_or_plain_settings_are_refused(
    monkeypatch: pytest.MonkeyPatch, issuer: str, client_id: str, said: str
) -> None:
    monkeypatch.delenv("LEADS_ENVIRONMENT", raising=False)
    url = "://leads:f3k9d0s8a7w5q2z6@localhost/x"
    with pytest.raises(ValidationError, match=said):
        IntakeSettings(
            database_url=f"postgresql{url}",
            amqp_url=f"amqp{url}",
            auth_secret="kD3vX8mQ1zR5tY7wB2nL9sJ4hG6fC0aE",
            link_key="vX8mQ1zR5tY7wB2nL9sJ4hG6fC0aEkD3",
            oidc_issuer=issuer,
            oidc_client_id=client_id,
        )
