"""S41: the first admin comes from the command line, everybody else, and every API key, from an admin."""

import asyncio
import json

import httpx
import pytest

from .accounts import PASSWORD
from .conftest import ADMIN, Intake
from .served import Command


async def test_s41_the_first_admin_is_made_once_and_makes_everybody_else(intake: Intake, leadctl: Command) -> None:
    assert await intake.rows("accounts") == 0
    code, out, err = await leadctl.run("users", "create-admin", ADMIN[0], "--json", stdin=ADMIN[1])
    assert (code, json.loads(out)["role"], err) == (0, "admin", "")
    code, _, err = await leadctl.run("users", "create-admin", "second@firm.test", stdin=PASSWORD)
    assert (code, "there is an admin already" in err) == (2, True)
    assert await intake.rows("accounts") == 1

    code, out, err = await leadctl.run("users", "create", "eve@firm.test", "--role", "intake", "--json", stdin=PASSWORD)
    assert (code, json.loads(out)["email"]) == (0, "eve@firm.test"), err
    form = {"username": "eve@firm.test", "password": PASSWORD}
    assert (await intake.client.post("/api/v1/auth/token", data=form)).status_code == 200
    assert (await leadctl.run("users", "disable", "eve@firm.test"))[0] == 0
    assert (await intake.client.post("/api/v1/auth/token", data=form)).status_code == 401
    assert (await leadctl.run("users", "enable", "eve@firm.test"))[0] == 0
    assert (await leadctl.run("users", "reset", "eve@firm.test", stdin="a kettle under the stairs"))[0] == 0
    form["password"] = "a kettle under the stairs"
    assert (await intake.client.post("/api/v1/auth/token", data=form)).status_code == 200
    code, out, _ = await leadctl.run("users", "list", "--json")
    assert [item["email"] for item in json.loads(out)["items"]] == [ADMIN[0], "eve@firm.test"]


async def test_s41_two_first_admins_at_once_are_one(intake: Intake, leadctl: Command) -> None:
    runs = [leadctl.run("users", "create-admin", f"admin{n}@firm.test", stdin=PASSWORD) for n in range(2)]
    assert sorted(code for code, _, _ in await asyncio.gather(*runs)) == [0, 2]
    assert await intake.rows("accounts") == 1


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (("create-admin", "nobody"), PASSWORD, "email must be"),
        (("create-admin", ADMIN[0]), "short", "password needs"),
        (("create-admin", ADMIN[0]), "", "standard input"),
        (("create-admin", ADMIN[0], "--password", PASSWORD), PASSWORD, "No such option"),
        (("disable", "nobody@firm.test"), "", "401"),
    ],
)
async def test_s41_what_is_wrong_is_said_in_a_line_and_nothing_is_made(
    intake: Intake, leadctl: Command, arguments: tuple[str, ...], stdin: str, said: str
) -> None:
    code, _, err = await leadctl.run("users", *arguments, stdin=stdin)
    assert (code, said in err, "Traceback" in err) == (2, True, False), err
    assert PASSWORD not in err
    assert await intake.rows("accounts") == 0


async def test_s41_without_the_database_there_is_a_line_and_no_trace(leadctl: Command) -> None:
    away = "postgresql://intake_app:nothing@127.0.0.1:1/intake"
    code, _, err = await leadctl.run("users", "create-admin", ADMIN[0], stdin=PASSWORD, INTAKE_DATABASE_URL=away)
    assert (code, err.count("\n"), "does not answer" in err) == (2, 1, True)


async def test_an_admin_makes_lists_and_revokes_keys(
    intake: Intake, staff: httpx.AsyncClient, leadctl: Command
) -> None:
    made = ("api-keys", "create", "Website", "--scope", "leads:read", "--expires-at", "2040-01-31T00:00:00Z")
    code, out, err = await leadctl.run(*made, "--json")
    assert code == 0, err
    key = json.loads(out)
    assert (key["scopes"], key["requests_per_minute"], key["expires_at"]) == (
        ["leads:read"],
        60,
        "2040-01-31T00:00:00Z",
    )
    bearer = {"Authorization": f"Bearer {key['key']}"}
    assert (await intake.client.get("/api/v1/leads", headers=bearer)).status_code == 200
    code, out, _ = await leadctl.run("api-keys", "list", "--json")
    assert [item["prefix"] for item in json.loads(out)["items"]] == [key["prefix"]]
    assert key["key"] not in out
    assert (await leadctl.run("api-keys", "revoke", key["id"]))[0] == 0
    assert (await intake.client.get("/api/v1/leads", headers=bearer)).status_code == 401
