"""``leadctl api-keys``: keys of integrations, over the HTTP API as an admin."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import typer

from intake_api.caller import Scope
from intake_api.leadctl.connection import Connection, ConnectionSettings
from intake_api.leadctl.output import Json, Output

api_keys = typer.Typer(help="Keys of integrations: make, list, revoke.", no_args_is_help=True)

_COLUMNS = ["id", "name", "prefix", "scopes", "requests_per_minute", "last_used_at", "expires_at", "revoked_at"]


@api_keys.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scope: Annotated[list[Scope], typer.Option(help="What it may do; may be repeated.")],
    requests_per_minute: Annotated[int, typer.Option(min=1, max=60_000, help="Its pace.")] = 60,
    expires_at: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%dT%H:%M:%S%z"], help="When it ends, such as 2030-01-31T00:00:00Z."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it: it is shown this once, and stored nowhere."""
    body = {
        "name": name,
        "scopes": scope,
        "requests_per_minute": requests_per_minute,
        "expires_at": expires_at.isoformat() if expires_at else None,
    }
    made = Connection(ConnectionSettings()).request("POST", "/api-keys", json=body)
    Output(as_json).say(made, f"{made['key']}\nmade key {made['id']}, shown this once: keep it where secrets are kept")


@api_keys.command("list")
def list_keys(as_json: Json = False) -> None:
    """List all keys by their first characters, revoked ones too, newest first."""
    page = Connection(ConnectionSettings()).request("GET", "/api-keys")
    Output(as_json).show(page, _COLUMNS, page["items"])


@api_keys.command("revoke")
def revoke(key_id: Annotated[UUID, typer.Argument(help="The key's id, see list.")], as_json: Json = False) -> None:
    """End a key for good, from its next request on."""
    row = Connection(ConnectionSettings()).request("DELETE", f"/api-keys/{key_id}")
    Output(as_json).say(row, f"{row['id']} is revoked")
