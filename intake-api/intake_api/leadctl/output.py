"""What leadctl prints: tables and lines for people, JSON for programs."""

import json
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@dataclass
class Output:
    """Where results go."""

    as_json: bool

    def show(self, result: Any, columns: list[str], rows: list[dict[str, Any]]) -> None:
        """Print ``result`` as JSON, or ``rows`` as a table of ``columns``."""
        if self.as_json:
            typer.echo(json.dumps(result, indent=2))
            return
        table = Table(*columns, show_lines=False)
        for row in rows:
            table.add_row(*(str(row.get(column, "")) for column in columns))
        Console().print(table)

    def say(self, result: Any, line: str) -> None:
        """Print ``result`` as JSON, or one line."""
        typer.echo(json.dumps(result) if self.as_json else line)
