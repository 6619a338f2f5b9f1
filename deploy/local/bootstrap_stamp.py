"""Tells whether the environment still fits the lock file, the members and the interpreter."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

_NAME = "leads-bootstrap-stamp"


def expected(root: Path, members: Sequence[str]) -> str:
    """Give the stamp of an environment made now: lock file, pyproject files, interpreter, place of the checkout."""
    digest = hashlib.sha256()
    for path in (
        root / "requirements.lock",
        root / "pyproject.toml",
        *(root / name / "pyproject.toml" for name in members),
    ):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    digest.update(sys.version.encode())
    digest.update(str(root).encode())
    return digest.hexdigest()


def is_current(venv: Path, stamp: str) -> bool:
    """Tell whether `venv` was completed with this stamp and its interpreter is still there."""
    mark = venv / _NAME
    return mark.exists() and (venv / "bin" / "python").exists() and mark.read_text(encoding="ascii") == stamp


def write(venv: Path, stamp: str) -> None:
    """Record that `venv` is complete."""
    (venv / _NAME).write_text(stamp, encoding="ascii")


def forget(venv: Path) -> None:
    """Record that `venv` is being changed."""
    (venv / _NAME).unlink(missing_ok=True)
