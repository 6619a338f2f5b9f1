"""``leadctl audit``: who did what, and whether the record still holds."""

from typing import Annotated

import typer

from intake_api.leadctl.connection import Connection, ConnectionSettings
from intake_api.leadctl.output import Json, Output

audit = typer.Typer(help="Who did what with which lead, and whether the record holds.", no_args_is_help=True)

_COLUMNS = ["seq", "at", "actor", "action", "lead_id", "origin", "result", "detail"]


@audit.command("list")
def list_audit(
    lead: Annotated[str | None, typer.Option(help="Only of this lead.")] = None,
    actor: Annotated[str | None, typer.Option(help="Only by this account: account:<id>.")] = None,
    action: Annotated[str | None, typer.Option(help="Only of this kind, such as get_resume.")] = None,
    before: Annotated[int | None, typer.Option(min=1, help="Only rows before this number.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    as_json: Json = False,
) -> None:
    """List acts, latest first (admin)."""
    params = {"lead_id": lead, "actor": actor, "action": action, "before": before, "limit": limit}
    page = Connection(ConnectionSettings()).request("GET", "/audit", params=params)
    Output(as_json).show(page, _COLUMNS, page["items"])


@audit.command("verify")
def verify(as_json: Json = False) -> None:
    """Check the whole chain and name the first broken row. Exits 1 when there is one.

    Keep the last hash somewhere else: rows cut off at the end leave a chain that holds, with another last hash.
    """
    found = Connection(ConnectionSettings()).request("GET", "/audit/verification")
    broken = found["broken_seq"]
    whole = f"{found['rows']} rows hold; last hash {found['last_hash']}"
    Output(as_json).say(found, whole if broken is None else f"row {broken} is broken: {found['problem']}")
    if broken is not None:
        raise typer.Exit(1)
