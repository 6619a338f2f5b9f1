"""S35, S36: tokens follow their session, which ends at once and everywhere."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest
import structlog
from intake_api.main import build
from intake_api.resume_store import FilesystemStore
from intake_api.use_cases.login_sessions import forget_sessions

from .accounts import PASSWORD, Login, log_in, make_account
from .conftest import Intake

ME = "/api/v1/auth/me"
REFRESH = "/api/v1/auth/refresh"


@pytest.fixture
async def replica(intake: Intake, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A second process over the same database."""
    app = build(intake.settings, FilesystemStore(tmp_path / "objects", 1))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://replica") as client,
        app.router.lifespan_context(app),
    ):
        yield client


async def _log_out(intake: Intake, _staff: httpx.AsyncClient, login: Login) -> httpx.Response:
    return await intake.client.post("/api/v1/auth/logout", headers=login.headers)


async def _change_password(intake: Intake, _staff: httpx.AsyncClient, login: Login) -> httpx.Response:
    body = {"current_password": PASSWORD, "new_password": "a kettle under the stairs"}
    return await intake.client.post("/api/v1/auth/password", json=body, headers=login.headers)


async def _disable(_intake: Intake, staff: httpx.AsyncClient, login: Login) -> httpx.Response:
    return await staff.patch(f"/api/v1/users/{login.account}", json={"disabled": True})


async def _lower_role(_intake: Intake, staff: httpx.AsyncClient, login: Login) -> httpx.Response:
    return await staff.patch(f"/api/v1/users/{login.account}", json={"role": "operator"})


async def _reset_password(_intake: Intake, staff: httpx.AsyncClient, login: Login) -> httpx.Response:
    path = f"/api/v1/users/{login.account}/password"
    return await staff.post(path, json={"password": "a kettle under the stairs"})


@pytest.mark.parametrize("end", [_log_out, _change_password, _disable, _lower_role, _reset_password])
async def test_s35_an_ended_session_is_refused_by_the_next_request_at_every_replica(
    intake: Intake,
    staff: httpx.AsyncClient,
    replica: httpx.AsyncClient,
    end: Callable[[Intake, httpx.AsyncClient, Login], Awaitable[httpx.Response]],
) -> None:
    login = await make_account(intake, "intake")
    for client in (intake.client, replica):
        assert (await client.get(ME, headers=login.headers)).status_code == 200
    assert (await end(intake, staff, login)).status_code in (200, 204)
    for client in (intake.client, replica):
        assert (await client.get(ME, headers=login.headers)).status_code == 401
        assert (await client.post(REFRESH, data={"refresh_token": login.refresh})).status_code == 401


async def test_s35_logging_out_ends_one_session_only(intake: Intake) -> None:
    login = await make_account(intake, "intake")
    other = await log_in(intake, login.email)
    await intake.client.post("/api/v1/auth/logout", headers=other.headers)
    assert (await intake.client.get(ME, headers=login.headers)).status_code == 200


async def test_s35_a_role_is_what_the_account_has_now(intake: Intake, staff: httpx.AsyncClient) -> None:
    login = await make_account(intake, "intake")
    await intake.database.execute("UPDATE accounts SET role = 'operator' WHERE id = $1", login.account)
    assert (await staff.get("/api/v1/leads", headers=login.headers)).status_code == 403


@pytest.mark.parametrize("encoding", ["data", "json"])
async def test_s35_a_refresh_token_is_good_for_one_use_and_its_reuse_ends_the_session(
    intake: Intake, replica: httpx.AsyncClient, encoding: str
) -> None:
    login = await make_account(intake, "intake")
    second = await intake.client.post(REFRESH, **{encoding: {"refresh_token": login.refresh}})  # type: ignore[arg-type] # data or json
    assert second.status_code == 200
    assert second.json().keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    headers = {"Authorization": f"Bearer {second.json()['access_token']}"}
    assert (await replica.get(ME, headers=headers)).status_code == 200
    stolen = await replica.post(REFRESH, data={"refresh_token": login.refresh})
    assert (stolen.status_code, stolen.json()["type"]) == (401, "urn:problem:invalid-refresh-token")
    third = await intake.client.post(REFRESH, data={"refresh_token": second.json()["refresh_token"]})
    unknown = await intake.client.post(REFRESH, data={"refresh_token": "unknown"})
    assert third.json() == stolen.json() == unknown.json()
    assert (await intake.client.get(ME, headers=headers)).status_code == 401


async def test_s35_an_expired_session_ends_and_is_forgotten(intake: Intake) -> None:
    login = await make_account(intake, "intake")
    kept = await make_account(intake, "intake")
    await intake.database.execute(
        "UPDATE login_sessions SET expires_at = now() - interval '1 second' WHERE account_id = $1", login.account
    )
    assert (await intake.client.get(ME, headers=login.headers)).status_code == 401
    assert (await intake.client.post(REFRESH, data={"refresh_token": login.refresh})).status_code == 401
    await forget_sessions(intake.sessions)
    assert (await intake.rows("login_sessions"), await intake.rows("refresh_tokens")) == (1, 1)
    assert (await intake.client.get(ME, headers=kept.headers)).status_code == 200


@pytest.mark.parametrize(
    ("content", "kind", "field"),
    [
        (b"", "application/x-www-form-urlencoded", "refresh_token"),
        (b"{", "application/json", "body"),
        (b'{"refresh_token": 5}', "application/json", "refresh_token"),
        (b"[]", "application/json", "body"),
        (b"refresh_token=" + b"x" * 300, "application/x-www-form-urlencoded", "refresh_token"),
    ],
)
async def test_a_refresh_that_lacks_its_token_says_so(intake: Intake, content: bytes, kind: str, field: str) -> None:
    answer = await intake.client.post(REFRESH, content=content, headers={"Content-Type": kind})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_s32_a_refresh_token_gives_no_access(intake: Intake) -> None:
    login = await make_account(intake, "admin")
    answer = await intake.client.get(ME, headers={"Authorization": f"Bearer {login.refresh}"})
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:problem:not-authenticated")


async def test_s36_tokens_travel_in_one_header_only_and_are_never_logged(intake: Intake) -> None:
    with structlog.testing.capture_logs() as logged:
        login = await make_account(intake, "intake")
        token = login.headers["Authorization"].removeprefix("Bearer ")
        for query in ("access_token", "token", "authorization"):
            assert (await intake.client.get(ME, params={query: token})).status_code == 401
        assert (await intake.client.get(ME, headers={"Cookie": f"access_token={token}"})).status_code == 401
        assert (await intake.client.get(ME, headers=login.headers)).status_code == 200
        second = await intake.client.post(REFRESH, data={"refresh_token": login.refresh})
        await intake.client.post(REFRESH, data={"refresh_token": login.refresh})
        answer = await intake.client.post("/api/v1/auth/token", data={"username": login.email, "password": "wrong"})
    assert "set-cookie" not in {**second.headers, **answer.headers}
    assert any(line["event"] == "login" for line in logged)
    for secret in (token, login.refresh, second.json()["refresh_token"], PASSWORD, login.email):
        assert secret not in str(logged)
    stored = [bytes(row["token_hash"]) for row in await intake.database.fetch("SELECT token_hash FROM refresh_tokens")]
    assert login.refresh.encode() not in stored


async def test_s39_refused_logins_and_reused_tokens_are_audited(intake: Intake) -> None:
    login = await make_account(intake, "intake")
    await intake.client.post("/api/v1/auth/token", data={"username": login.email, "password": "wrong"})
    await intake.client.post("/api/v1/auth/token", data={"username": "nobody@firm.test", "password": "wrong"})
    for _ in range(2):
        await intake.client.post(REFRESH, data={"refresh_token": login.refresh})
    rows = await intake.database.fetch("SELECT actor, action, result FROM audit ORDER BY seq")
    actor = f"account:{login.account}"
    assert [tuple(row) for row in rows] == [
        (actor, "post_token", 200),
        (actor, "post_token", 401),
        ("unknown", "post_token", 401),
        (actor, "post_refresh", 200),
        (actor, "post_refresh", 401),
    ]
