"""Every leadctl command explains itself, and starting it loads nothing that it does not use."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from intake_api.leadctl.main import app
from typer.main import get_command
from typer.testing import CliRunner


def paths(command: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from paths(child, (*path, name))


COMMANDS = list(paths(get_command(app)))


def test_the_tree_is_seen_whole() -> None:
    assert {("dead-letters", "replay"), ("stuck", "explain"), ("reconcile",), ("users", "create-admin")} <= set(
        COMMANDS
    )


@pytest.mark.parametrize("command", COMMANDS, ids=lambda path: " ".join(path) or "leadctl")
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    answer = CliRunner().invoke(app, [*command, "--help"], prog_name="leadctl")
    assert answer.exit_code == 0
    assert f"Usage: {' '.join(('leadctl', *command))}" in answer.output


def test_a_command_starts_without_the_service_behind_it() -> None:
    script = (
        "import sys, intake_api.leadctl.main; print(*{'sqlalchemy', 'fastapi', 'minio', 'argon2'} & set(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)  # noqa: S603 - our own words
    assert loaded.stdout.split() == []
