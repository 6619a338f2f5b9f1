"""``leadctl users``: staff accounts. All but ``create-admin`` speak the HTTP API as an admin."""

import sys
from typing import Annotated, Any
from uuid import UUID

import typer

from intake_api.caller import Role
from intake_api.leadctl.connection import Connection, ConnectionSettings, Trouble
from intake_api.leadctl.output import Json, Output

users = typer.Typer(
    help="Staff accounts. Passwords are prompted for, or read from standard input; never given as arguments.",
    no_args_is_help=True,
)

Email = Annotated[str, typer.Argument(help="The account's address.")]
_COLUMNS = ["id", "email", "role", "attorney_id", "disabled", "created_at"]


@users.command("create-admin")
def create_admin(email: Email, as_json: Json = False) -> None:
    """Make the first admin, straight in the database (INTAKE_DATABASE_URL). Refused once there is an admin."""
    from intake_api.leadctl import first_admin  # noqa: PLC0415 - slow to import: see there

    account_id = first_admin.create(email, _read_password())
    Output(as_json).say({"id": str(account_id), "role": Role.ADMIN}, f"made admin {account_id}")


@users.command("create")
def create(
    email: Email,
    role: Annotated[Role, typer.Option(help="What the account is for.")],
    attorney: Annotated[UUID | None, typer.Option(help="Whose leads it sees; required for attorneys.")] = None,
    without_password: Annotated[bool, typer.Option(help="Only the identity provider lets it in.")] = False,
    as_json: Json = False,
) -> None:
    """Make an account."""
    password = None if without_password else _read_password()
    body = {"email": email, "role": role, "password": password, "attorney_id": str(attorney) if attorney else None}
    made = Connection(ConnectionSettings()).request("POST", "/users", json=body)
    Output(as_json).say(made, f"made {made['role']} {made['id']}")


@users.command("list")
def list_users(as_json: Json = False) -> None:
    """List accounts by address."""
    page = Connection(ConnectionSettings()).request("GET", "/users", params={"limit": 500})
    Output(as_json).show(page, _COLUMNS, page["items"])


@users.command("disable")
def disable(email: Email, as_json: Json = False) -> None:
    """Let an account in no more: its logins end at once."""
    connection = Connection(ConnectionSettings())
    row = connection.request("PATCH", f"/users/{_find(connection, email)}", json={"disabled": True})
    Output(as_json).say(row, f"{row['id']} is disabled")


@users.command("enable")
def enable(email: Email, as_json: Json = False) -> None:
    """Let a disabled account in again."""
    connection = Connection(ConnectionSettings())
    row = connection.request("PATCH", f"/users/{_find(connection, email)}", json={"disabled": False})
    Output(as_json).say(row, f"{row['id']} is enabled")


@users.command("reset")
def reset(email: Email, as_json: Json = False) -> None:
    """Give an account a new password: its logins end at once."""
    connection = Connection(ConnectionSettings())
    account_id = _find(connection, email)
    row = connection.request("POST", f"/users/{account_id}/password", json={"password": _read_password()})
    Output(as_json).say(row, f"{row['id']} has a new password")


def _read_password() -> str:
    """Ask twice on a terminal, else read the first line of standard input: no list of processes shows it."""
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise Trouble("give the password on the first line of standard input")
    return password


def _find(connection: Connection, email: str) -> str:
    found: list[dict[str, Any]] = connection.request("GET", "/users", params={"email": email})["items"]
    if not found:
        raise Trouble("no account has this address: see leadctl users list")
    return str(found[0]["id"])
