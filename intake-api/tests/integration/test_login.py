"""S37, S39, S40: passwords are checked at bounded cost, and guessing delays the guesser."""

import asyncio
from dataclasses import replace

import asyncpg
import httpx
import pytest
from intake_api.passwords import Passwords
from intake_api.routes.context import get_client
from intake_api.use_cases.throttle_login import (
    ATTACKED_ACCOUNT,
    FREE_OF_PAIR,
    LONGEST_DELAY_S,
    Attempt,
    delay_s,
)
from starlette.requests import Request

from .accounts import PASSWORD, make_account
from .conftest import Intake

WRONG = "a wrong guess"
TOKEN = "/api/v1/auth/token"


def client_at(intake: Intake, address: str) -> httpx.AsyncClient:
    """A client of the running application that comes from this address."""
    app = intake.client._transport.app  # type: ignore[attr-defined] # the application that the fixture runs
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 1234))
    return httpx.AsyncClient(transport=transport, base_url="http://intake")


async def attempt(client: httpx.AsyncClient, email: str, password: str = WRONG) -> httpx.Response:
    return await client.post(TOKEN, data={"username": email, "password": password})


async def pretend_time_passed(database: asyncpg.Connection, seconds: int) -> None:
    """Move what is remembered of failures into the past, as waiting would."""
    await database.execute(
        "UPDATE login_throttles SET last_at = last_at - $1 * interval '1 second', "
        "blocked_until = blocked_until - $1 * interval '1 second'",
        seconds,
    )


async def test_s37_a_login_brings_an_old_hash_up_to_date(intake: Intake) -> None:
    login = await make_account(intake, "intake")
    app = intake.client._transport.app  # type: ignore[attr-defined] # the application that the fixture runs
    app.state.outside = replace(app.state.outside, passwords=Passwords(32_768, 3, 2))
    assert (await attempt(intake.client, login.email, PASSWORD)).status_code == 200
    stored = await intake.database.fetchval("SELECT password_hash FROM accounts WHERE id = $1", login.account)
    assert "m=32768,t=3,p=1" in stored
    assert (await attempt(intake.client, login.email, PASSWORD)).status_code == 200
    assert await intake.database.fetchval("SELECT password_hash FROM accounts") == stored


async def test_s39_a_guesser_waits_ever_longer_and_the_owner_does_not(intake: Intake) -> None:
    login = await make_account(intake, "intake")
    waits = []
    async with client_at(intake, "203.0.113.7") as stranger:
        for _ in range(FREE_OF_PAIR):
            assert (await attempt(stranger, login.email)).status_code == 401
        for _ in range(4):
            blocked = await attempt(stranger, login.email, PASSWORD)
            assert (blocked.status_code, blocked.json()["type"]) == (429, "urn:problem:too-many-logins")
            waits.append(int(blocked.headers["Retry-After"]))
            assert (await attempt(intake.client, login.email, PASSWORD)).status_code == 200
            await pretend_time_passed(intake.database, waits[-1])
            assert (await attempt(stranger, login.email)).status_code == 401
        await pretend_time_passed(intake.database, LONGEST_DELAY_S)
        assert (await attempt(stranger, login.email, PASSWORD)).status_code == 200
    assert waits == [1, 2, 4, 8]


async def test_s39_many_strangers_leave_everybody_one_try_and_nobody_many(intake: Intake) -> None:
    login = await make_account(intake, "intake")
    for number in range(ATTACKED_ACCOUNT):
        async with client_at(intake, f"198.51.100.{number}") as stranger:
            assert (await attempt(stranger, login.email)).status_code == 401
    async with client_at(intake, "203.0.113.9") as stranger:
        assert (await attempt(stranger, login.email)).status_code == 401
        blocked = await attempt(stranger, login.email)
        assert (blocked.status_code, blocked.headers["Retry-After"]) == (429, "60")
    async with client_at(intake, "192.0.2.1") as owner_on_a_journey:
        assert (await attempt(owner_on_a_journey, login.email, PASSWORD)).status_code == 200


async def test_s39_a_client_that_tries_many_accounts_waits(intake: Intake) -> None:
    login = await make_account(intake, "intake")
    async with client_at(intake, "203.0.113.7") as stranger:
        for number in range(intake.settings.login_failures_per_client):
            assert (await attempt(stranger, f"user{number}@firm.test")).status_code == 401
        blocked = await attempt(stranger, "another@firm.test")
        assert blocked.status_code == 429
        assert 1 <= int(blocked.headers["Retry-After"]) <= LONGEST_DELAY_S
    assert (await attempt(intake.client, login.email, PASSWORD)).status_code == 200


async def test_s39_guesses_sent_at_once_get_no_further_than_one_by_one(intake: Intake) -> None:
    login = await make_account(intake, "intake")
    async with client_at(intake, "203.0.113.7") as stranger:
        answers = await asyncio.gather(*(attempt(stranger, login.email, f"guess {n}") for n in range(25)))
    checked = sum(answer.status_code == 401 for answer in answers)
    assert FREE_OF_PAIR <= checked <= FREE_OF_PAIR + intake.settings.auth_hashes_at_once
    assert all(answer.status_code in (401, 429) for answer in answers)


async def test_s39_failures_are_forgotten_in_time_and_show_nobody(intake: Intake) -> None:
    login = await make_account(intake, "intake")
    async with client_at(intake, "203.0.113.7") as stranger:
        for _ in range(FREE_OF_PAIR):
            await attempt(stranger, login.email)
        await pretend_time_passed(intake.database, 3601)
        assert (await attempt(stranger, login.email)).status_code == 401
        assert (await attempt(stranger, login.email)).status_code == 401
    for row in await intake.database.fetch("SELECT key FROM login_throttles"):
        assert len(row["key"]) == 32
    assert Attempt.of("one secret", "a", "b", 1) != Attempt.of("another", "a", "b", 1)


@pytest.mark.parametrize(("failures", "seconds"), [(0, 0), (4, 0), (5, 1), (6, 2), (14, 512), (15, 900), (10**6, 900)])
def test_s39_delays_double_up_to_the_longest(failures: int, seconds: int) -> None:
    assert delay_s(failures, FREE_OF_PAIR, 1) == seconds


@pytest.mark.parametrize(
    ("address", "client"),
    [("203.0.113.7", "203.0.113.7"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("somewhere", "somewhere")],
)
def test_s39_a_client_is_an_address_or_an_ipv6_network(address: str, client: str) -> None:
    assert get_client(Request({"type": "http", "client": (address, 1), "headers": []})) == client


@pytest.mark.parametrize("state", ["wrong", "unknown", "disabled", "no password"])
async def test_s40_every_refused_login_answers_the_same(intake: Intake, state: str) -> None:
    login = await make_account(intake, "intake")
    reference = await attempt(intake.client, login.email)
    email, password = login.email, "wrong"
    if state == "unknown":
        email = "nobody@firm.test"
    elif state == "disabled":
        await intake.database.execute("UPDATE accounts SET disabled_at = now()")
        password = PASSWORD
    elif state == "no password":
        await intake.database.execute("UPDATE accounts SET password_hash = NULL")
        password = "no account has this password"
    answer = await attempt(intake.client, email, password)
    assert (answer.status_code, answer.content) == (401, reference.content)
    assert answer.headers == reference.headers


async def test_a_wrong_current_password_changes_nothing_and_is_throttled(intake: Intake) -> None:
    login = await make_account(intake, "intake")
    body = {"current_password": "wrong", "new_password": "a kettle under the stairs"}
    for _ in range(FREE_OF_PAIR):
        answer = await intake.client.post("/api/v1/auth/password", json=body, headers=login.headers)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "current_password")
    assert (await intake.client.post("/api/v1/auth/password", json=body, headers=login.headers)).status_code == 429
    weak = {"current_password": PASSWORD, "new_password": "short"}
    answer = await intake.client.post("/api/v1/auth/password", json=weak, headers=login.headers)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "new_password")
    await pretend_time_passed(intake.database, 60)
    assert (await attempt(intake.client, login.email, PASSWORD)).status_code == 200
