"""Accounts and API keys: made, changed and ended by admins."""

from uuid import uuid4

import httpx
import pytest

from .accounts import PASSWORD, make_account
from .conftest import ADMIN, Intake

USERS = "/api/v1/users"
KEYS = "/api/v1/api-keys"
NEW = {"email": "Eve.Intake@Firm.test", "role": "intake", "password": PASSWORD}


async def own_id(staff: httpx.AsyncClient) -> str:
    return str((await staff.get("/api/v1/auth/me")).json()["id"])


async def test_an_account_is_made_found_and_logs_in(intake: Intake, staff: httpx.AsyncClient) -> None:
    made = await staff.post(USERS, json=NEW)
    assert made.status_code == 201
    assert (await staff.get(made.headers["Location"])).json() == made.json()
    assert made.json().keys() == {
        "id", "email", "role", "attorney_id", "disabled", "has_password", "created_at",
    }  # fmt: skip
    assert (made.json()["email"], made.json()["disabled"]) == ("eve.intake@firm.test", False)
    found = (await staff.get(USERS, params={"email": NEW["email"]})).json()
    assert ([item["id"] for item in found["items"]], found["total"]) == ([made.json()["id"]], 1)
    assert (await staff.get(USERS)).json()["total"] == 2
    login = await intake.client.post("/api/v1/auth/token", data={"username": NEW["email"], "password": PASSWORD})
    assert login.status_code == 200


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"email": "nobody"}, 422, "email"),
        ({"role": "owner"}, 422, "role"),
        ({"password": "short"}, 422, "password"),
        ({"role": "attorney"}, 422, "attorney_id"),
        ({"attorney_id": str(uuid4())}, 422, "attorney_id"),
        ({"id": str(uuid4())}, 422, "id"),
        ({"disabled": True}, 422, "disabled"),
        ({"email": ADMIN[0].upper()}, 409, None),
    ],
)
async def test_what_is_wrong_with_a_new_account_is_named_and_none_is_made(
    intake: Intake, staff: httpx.AsyncClient, changes: dict[str, object], status: int, field: str | None
) -> None:
    answer = await staff.post(USERS, json={**NEW, **changes})
    assert answer.status_code == status
    assert [error["field"] for error in answer.json().get("errors", [])] == ([field] if field else [])
    assert await intake.rows("accounts") == 1


@pytest.mark.parametrize("change", [{"role": "intake"}, {"disabled": True}])
async def test_the_last_admin_stays(intake: Intake, staff: httpx.AsyncClient, change: dict[str, object]) -> None:
    path = f"{USERS}/{await own_id(staff)}"
    refused = await staff.patch(path, json=change)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:problem:last-admin")
    second = await make_account(intake, "admin")
    assert (await staff.patch(path, json=change, headers=second.headers)).status_code == 200
    assert (await staff.get(USERS)).status_code == 401


async def test_a_disabled_account_logs_in_again_once_enabled(intake: Intake, staff: httpx.AsyncClient) -> None:
    login = await make_account(intake, "intake")
    form = {"username": login.email, "password": PASSWORD}
    for disabled, status in ((True, 401), (False, 200)):
        changed = await staff.patch(f"{USERS}/{login.account}", json={"disabled": disabled})
        assert changed.json()["disabled"] is disabled
        assert (await intake.client.post("/api/v1/auth/token", data=form)).status_code == status


async def test_an_account_becomes_an_attorneys(intake: Intake, staff: httpx.AsyncClient) -> None:
    attorney = (await staff.post("/api/v1/attorneys", json={"name": "Ada", "email": "a@firm.test"})).json()["id"]
    login = await make_account(intake, "intake")
    path = f"{USERS}/{login.account}"
    missing = await staff.patch(path, json={"role": "attorney"})
    assert (missing.status_code, missing.json()["errors"][0]["field"]) == (422, "attorney_id")
    done = (await staff.patch(path, json={"role": "attorney", "attorney_id": attorney})).json()
    assert (done["role"], done["attorney_id"]) == ("attorney", attorney)
    assert (await staff.patch(path, json={})).status_code == 422
    assert (await staff.patch(path, json={"password_hash": "x"})).status_code == 422
    assert (await staff.patch(path, json={"disabled": 0})).status_code == 422


async def test_unknown_accounts_and_keys_are_404(staff: httpx.AsyncClient) -> None:
    unknown = uuid4()
    for method, path, body in (
        ("GET", f"{USERS}/{unknown}", None),
        ("PATCH", f"{USERS}/{unknown}", {"disabled": True}),
        ("POST", f"{USERS}/{unknown}/password", {"password": PASSWORD}),
        ("DELETE", f"{KEYS}/{unknown}", None),
    ):
        assert (await staff.request(method, path, json=body)).status_code == 404, path


async def new_key(staff: httpx.AsyncClient, **changes: object) -> dict[str, str]:
    body = {"name": "case system", "scopes": ["leads:read"], **changes}
    made = await staff.post(KEYS, json=body)
    assert made.status_code == 201, made.text
    return dict(made.json())


async def test_a_key_is_shown_once_and_kept_as_a_hash(intake: Intake, staff: httpx.AsyncClient) -> None:
    key = await new_key(staff)
    [listed] = (await staff.get(KEYS)).json()["items"]
    assert "key" not in listed
    assert key["key"].startswith(listed["prefix"])
    assert len(listed["prefix"]) < 12
    row = dict((await intake.database.fetch("SELECT * FROM api_keys"))[0])
    assert key["key"] not in str(row)
    headers = {"Authorization": f"Bearer {key['key']}"}
    assert (await staff.get("/api/v1/leads", headers=headers)).status_code == 200
    assert (await staff.get(KEYS)).json()["items"][0]["last_used_at"]
    wrong = {"Authorization": f"Bearer {key['key'][:-1]}"}
    assert (await staff.get("/api/v1/leads", headers=wrong)).status_code == 401


async def test_a_revoked_or_expired_key_is_refused(intake: Intake, staff: httpx.AsyncClient) -> None:
    revoked, expired = await new_key(staff), await new_key(staff, expires_at="2100-01-01T00:00:00Z")
    answer = await staff.delete(f"{KEYS}/{revoked['id']}")
    again = await staff.delete(f"{KEYS}/{revoked['id']}")
    assert answer.json()["revoked_at"] == again.json()["revoked_at"] is not None
    headers = {"Authorization": f"Bearer {expired['key']}"}
    assert (await staff.get("/api/v1/leads", headers=headers)).status_code == 200
    await intake.database.execute("UPDATE api_keys SET expires_at = now() WHERE expires_at IS NOT NULL")
    for key in (revoked, expired):
        headers = {"Authorization": f"Bearer {key['key']}"}
        assert (await staff.get("/api/v1/leads", headers=headers)).status_code == 401


async def test_a_key_has_a_pace_of_its_own(intake: Intake, staff: httpx.AsyncClient) -> None:
    slow, other = await new_key(staff, requests_per_minute=2), await new_key(staff)
    headers = {"Authorization": f"Bearer {slow['key']}"}
    answers = [await staff.get("/api/v1/leads", headers=headers) for _ in range(6)]
    # A minute may begin between the requests: then two more are taken.
    assert [answer.status_code for answer in answers].count(200) in (2, 4)
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.json()["type"] == "urn:problem:too-many-requests"
    headers = {"Authorization": f"Bearer {other['key']}"}
    assert (await staff.get("/api/v1/leads", headers=headers)).status_code == 200
    await intake.database.execute("UPDATE api_keys SET window_start = window_start - interval '1 minute'")
    headers = {"Authorization": f"Bearer {slow['key']}"}
    assert (await staff.get("/api/v1/leads", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": ["everything"]}, "scopes.0"),
        ({"name": ""}, "name"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"key": "mine"}, "key"),
    ],
)
async def test_what_is_wrong_with_a_new_key_is_named(
    staff: httpx.AsyncClient, changes: dict[str, object], field: str
) -> None:
    answer = await staff.post(KEYS, json={"name": "x", "scopes": ["leads:read"], **changes})
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [field])
