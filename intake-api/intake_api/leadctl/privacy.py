"""``leadctl privacy`` and ``leadctl retention``: erase, export and hold leads; what is due by age."""

from pathlib import Path
from typing import Annotated, Any

import typer

from intake_api.leadctl.connection import Connection, ConnectionSettings
from intake_api.leadctl.output import Json, Output

privacy = typer.Typer(help="A person's data: erase it, see the receipt, export it, hold it.", no_args_is_help=True)
retention = typer.Typer(help="Leads that are past the days their status allows.", no_args_is_help=True)

Lead = Annotated[str, typer.Argument(help="The lead's id.")]


@privacy.command("erase")
def erase(
    lead: Lead,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Erase a lead in every service, queue and store. It cannot be undone. Safe to repeat."""
    if not yes:
        typer.confirm(f"Erase lead {lead} for good?", abort=True)
    _show_receipt(_connect().request("DELETE", f"/leads/{lead}"), as_json)


@privacy.command("receipt")
def receipt(lead: Lead, as_json: Json = False) -> None:
    """Show what was erased and who has not answered yet. Exits 1 while it is not complete."""
    found = _connect().request("GET", f"/erasures/{lead}")
    _show_receipt(found, as_json)
    if found["status"] != "complete":
        raise typer.Exit(1)


@privacy.command("export")
def export(lead: Lead, target: Annotated[Path, typer.Argument(help="File to write; it must not exist.")]) -> None:
    """Write everything stored about a lead as a zip: lead.json and the resumes."""
    _connect().download(f"/leads/{lead}/export", target)
    typer.echo(f"wrote {target}")


@privacy.command("hold")
def hold(
    lead: Lead,
    reference: Annotated[str, typer.Option(help="Matter or file number; nothing about the person.")],
    as_json: Json = False,
) -> None:
    """Keep a lead: neither erasure nor retention touches it."""
    held = _connect().request("PUT", f"/leads/{lead}/legal-hold", json={"reference": reference})
    Output(as_json).say(held, f"{held['lead_id']} is held: {held['reference']}")


@privacy.command("release")
def release(lead: Lead, as_json: Json = False) -> None:
    """End a legal hold."""
    _connect().request("DELETE", f"/leads/{lead}/legal-hold")
    Output(as_json).say({"lead_id": lead, "held": False}, f"{lead} is not held")


@retention.command("list")
def list_due(as_json: Json = False) -> None:
    """Say what a run would erase now, by status (dry run)."""
    found = _connect().request("GET", "/retention")
    Output(as_json).show(found, ["status", "days", "due", "held"], found["items"])


@retention.command("run")
def run(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be erased.")] = False,
    as_json: Json = False,
) -> None:
    """Erase what is due now, as the periodic round does."""
    if dry_run:
        list_due(as_json)
        return
    done = _connect().request("POST", "/retention/run")
    Output(as_json).say(done, f"erased {done['erased']} leads")


def _connect() -> Connection:
    return Connection(ConnectionSettings())


def _show_receipt(found: dict[str, Any], as_json: bool) -> None:
    rows = [{"field": key, "value": value} for key, value in found.items()]
    Output(as_json).show(found, ["field", "value"], rows)
