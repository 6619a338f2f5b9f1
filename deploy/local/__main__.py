"""The command line: `python -m deploy.local up|run|down|status|stop|start|migrate|settings`."""

from __future__ import annotations

import argparse
import os
import sys

from deploy.local import background, control, migration, supervisor
from deploy.local.console import Console
from deploy.local.errors import StackError
from deploy.local.layout import Home

_SUMMARY = "Run the whole system on this machine, without Docker."


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--home", help="the stack's folder (default: LEADS_HOME, else .local)")
    common.add_argument(
        "--profile",
        default=os.environ.get("LEADS_PROFILE", "dev"),
        help="deploy/env/PROFILE.env gives the settings (default: LEADS_PROFILE, else dev)",
    )
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description=_SUMMARY)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", parents=[common], help="run everything in the foreground; Ctrl-C stops it")
    run.add_argument("--report-to", type=int, help=argparse.SUPPRESS)
    commands.add_parser("up", parents=[common], help="start everything in the background, return when it is ready")
    commands.add_parser("down", parents=[common], help="stop everything; the data is kept")
    commands.add_parser("status", parents=[common], help="show what runs")
    for name, words in (("stop", "stop one service until it is started again"), ("start", "start a stopped service")):
        one = commands.add_parser(name, parents=[common], help=words)
        one.add_argument("service", help="a name shown by status, or a kind of process")
    commands.add_parser("migrate", parents=[common], help="bring the three databases up to date")
    settings = commands.add_parser("settings", help="show every setting with type, default and meaning")
    settings.add_argument("--json", action="store_true", help="for programs")
    return parser


def _carry_out(options: argparse.Namespace) -> int:
    if options.command == "settings":
        from deploy.local import settings_table  # noqa: PLC0415 - pydantic would slow every other command down

        print(settings_table.as_json() if options.json else settings_table.as_text())
        return 0
    home = Home.from_environment(os.environ, options.home)
    if options.command == "run":
        _run(home, options)
    elif options.command == "up":
        return background.up(home, options.profile)
    elif options.command == "down":
        print(background.down(home))
    elif options.command == "status":
        _print_status(control.ask(home, {"command": "status"}))
    elif options.command == "migrate":
        migration.migrate(home, os.environ, options.profile, Console())
    else:
        control.ask(home, {"command": options.command, "service": options.service})
    return 0


def _run(home: Home, options: argparse.Namespace) -> None:
    """Run in the foreground; whoever waits for us hears of a failure too."""
    console = Console(options.report_to)
    try:
        supervisor.run(home, os.environ, options.profile, console)
    except StackError as error:
        console.complain(f"error: {error}")
        raise SystemExit(1) from None
    finally:
        console.stop_reporting()


def _print_status(answer: control.Answer) -> None:
    rows = answer["services"]
    assert isinstance(rows, list)  # noqa: S101 - the supervisor's own answer
    for row in rows:
        pids, ports = (" ".join(map(str, row[key])) for key in ("pids", "ports"))
        print(f"{row['name']:22}{row['state']:9}pid {pids or '-':8} restarts {row['restarts']:<4}ports {ports}")


def main() -> int:
    """Carry out one command; print one line and give 1 when it cannot be done."""
    try:
        return _carry_out(_parser().parse_args())
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
