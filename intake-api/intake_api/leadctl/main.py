"""Command line: ``leadctl``. Prints tables for people, ``--json`` for programs; exits non-zero on trouble."""

import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from intake_api.leadctl.api_keys import api_keys
from intake_api.leadctl.audit import audit
from intake_api.leadctl.connection import Connection, ConnectionSettings, Trouble
from intake_api.leadctl.diagnosis import diagnose
from intake_api.leadctl.output import Json, Output
from intake_api.leadctl.privacy import privacy, retention
from intake_api.leadctl.users import users

app = typer.Typer(
    name="leadctl",
    help="Operate the lead service. Addresses and account: LEADCTL_API_URL, LEADCTL_EMAIL, LEADCTL_PASSWORD "
    "(or LEADCTL_TOKEN), LEADCTL_INTAKE_OPS_URL, LEADCTL_ASSIGNMENT_OPS_URL, LEADCTL_MAILER_OPS_URL.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
dead_letters = typer.Typer(help="Messages that were given up: see, replay, discard.", no_args_is_help=True)
stuck = typer.Typer(help="Leads that nothing moves: see, explain, repair.", no_args_is_help=True)
app.add_typer(dead_letters, name="dead-letters")
app.add_typer(stuck, name="stuck")
app.add_typer(users, name="users")
app.add_typer(api_keys, name="api-keys")
app.add_typer(audit, name="audit")
app.add_typer(privacy, name="privacy")
app.add_typer(retention, name="retention")

QueueOption = Annotated[str | None, typer.Option(help="Only of this queue.")]
TypeOption = Annotated[str | None, typer.Option("--type", help="Only of this message type.")]
LeadOption = Annotated[str | None, typer.Option("--lead", help="Only of this lead.")]


def _connect() -> Connection:
    return Connection(ConnectionSettings())


_DEAD_COLUMNS = ["id", "status", "queue", "message_type", "lead_id", "attempts", "error_type", "error_place", "last_at"]


@dead_letters.command("list")
def list_dead_letters(
    status: Annotated[str | None, typer.Option(help="open, replayed or discarded.")] = "open",
    queue: QueueOption = None,
    message_type: TypeOption = None,
    lead: LeadOption = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    as_json: Json = False,
) -> None:
    """List given-up messages, latest failures first. Exits 1 when any is open."""
    params = {"status": status, "queue": queue, "message_type": message_type, "lead_id": lead, "limit": limit}
    page = _connect().request("GET", "/dead-letters", params=params)
    Output(as_json).show(page, _DEAD_COLUMNS, page["items"])
    if any(item["status"] == "open" for item in page["items"]):
        raise typer.Exit(1)


@dead_letters.command("show")
def show_dead_letter(dead_letter_id: str, as_json: Json = False) -> None:
    """Show one with headers and, to an admin, its raw body (base64)."""
    body = _connect().request("GET", f"/dead-letters/{dead_letter_id}")
    Output(as_json).show(body, ["field", "value"], [{"field": key, "value": value} for key, value in body.items()])


@dead_letters.command("replay")
def replay(
    dead_letter_id: Annotated[str | None, typer.Argument(help="One of them; or narrow by options, or --all.")] = None,
    queue: QueueOption = None,
    message_type: TypeOption = None,
    lead: LeadOption = None,
    every: Annotated[bool, typer.Option("--all", help="All open ones.")] = False,
    as_json: Json = False,
) -> None:
    """Send open ones again to the queue that failed. Safe to repeat. Exits 1 when any of them was not sent."""
    connection, output = _connect(), Output(as_json)
    if dead_letter_id is not None:
        row = connection.request("POST", f"/dead-letters/{dead_letter_id}/replay")
        output.say(row, f"{row['id']} is {row['status']}")
        if row["status"] != "replayed":
            raise typer.Exit(1)
        return
    if not (every or queue or message_type or lead):
        raise Trouble("say which: an id, --queue, --type, --lead, or --all")
    chosen = {"queue": queue, "message_type": message_type, "lead_id": lead}
    total, left = 0, 0
    while True:
        result = connection.request("POST", "/dead-letters/replay", json=chosen)
        total, left = total + result["replayed"], result["not_replayable"]
        chosen["failed_before"] = result["failed_before"]
        if not result["replayed"]:
            break
    output.say({"replayed": total, "not_replayable": left}, f"replayed {total}; {left} cannot be (discard them)")
    if left:
        raise typer.Exit(1)


@dead_letters.command("discard")
def discard(
    dead_letter_id: str, reason: Annotated[str, typer.Option(help="Why, for the record.")], as_json: Json = False
) -> None:
    """Give an open one up for good."""
    row = _connect().request("POST", f"/dead-letters/{dead_letter_id}/discard", json={"reason": reason})
    Output(as_json).say(row, f"{row['id']} is {row['status']}")


_STUCK_COLUMNS = ["lead_id", "status", "lacks", "since", "held_back_by", "next_repair_at"]


def _stuck_leads(connection: Connection) -> Iterator[dict[str, Any]]:
    """All of them, page by page, longest stuck first."""
    cursor = None
    while True:
        page = connection.request("GET", "/stuck-leads", params={"cursor": cursor})
        yield from page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return


@stuck.command("list")
def list_stuck(as_json: Json = False) -> None:
    """List stuck leads, longest first. Exits 1 when there are any."""
    found = list(_stuck_leads(_connect()))
    Output(as_json).show({"items": found}, _STUCK_COLUMNS, found)
    if found:
        raise typer.Exit(1)


@stuck.command("explain")
def explain(lead_id: str, as_json: Json = False) -> None:
    """Say where a lead stopped: what each service knows of it, and what that means."""
    connection = _connect()
    lead = connection.request("GET", f"/stuck-leads/{lead_id}")
    letters = connection.request("GET", "/dead-letters", params={"lead_id": lead_id, "status": "open"})["items"]
    states = connection.ask_workers(lead_id)
    result = {"lead_id": lead_id, "status": lead["status"], "stopped_at": diagnose(lead, letters, states), **states}
    rows = [{"field": key, "value": value} for key, value in result.items()]
    Output(as_json).show(result, ["field", "value"], rows)


@stuck.command("repair")
def repair(lead_id: str, as_json: Json = False) -> None:
    """Say the event that states the lead again. Exits 1 when it is not stuck or something holds repair back."""
    result = _connect().request("POST", f"/stuck-leads/{lead_id}/repair")
    done = result["repaired"]
    Output(as_json).say(result, "said again" if done else "nothing said: not stuck, or an unsent event or dead letter")
    if not done:
        raise typer.Exit(1)


def _rebuild_assignment(connection: Connection) -> dict[str, int]:
    """Batch by batch, with a line on stderr for each."""
    said, after = {"attorneys": 0, "leads": 0}, None
    while True:
        batch = connection.request("POST", "/operations/rebuild-assignment", params={"after": after})
        said = {name: count + batch[name] for name, count in said.items()}
        typer.echo(f"leadctl: {said['leads']} leads so far", err=True)
        after = batch["next_after"]
        if after is None:
            return said


@app.command("reconcile")
def reconcile(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be repaired.")] = False,
    rebuild: Annotated[str | None, typer.Option(help="A database to make whole again: assignment.")] = None,
    as_json: Json = False,
) -> None:
    """Repair every stuck lead that may be, or rebuild an emptied database from what intake-api knows."""
    connection, output = _connect(), Output(as_json)
    if rebuild is not None:
        if rebuild != "assignment":
            raise Trouble("--rebuild takes: assignment")
        if dry_run:
            raise Trouble("--rebuild knows no --dry-run: leave one of them out")
        said = _rebuild_assignment(connection)
        output.say(said, f"said {said['attorneys']} attorneys and {said['leads']} open leads again")
        return
    found = []
    for item in _stuck_leads(connection):
        found.append(item)
        if not dry_run:
            path = f"/stuck-leads/{item['lead_id']}/repair"
            item["repaired"] = connection.request("POST", path)["repaired"]
    columns = _STUCK_COLUMNS if dry_run else [*_STUCK_COLUMNS, "repaired"]
    output.show({"items": found}, columns, found)
    if any(not item.get("repaired") for item in found):
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; trouble is one line on stderr and exit code 2."""
    try:
        app()
    except Trouble as trouble:
        typer.echo(f"leadctl: {trouble}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
