"""A small, strict reader of environment files: `KEY=VALUE` lines, comments, blank lines, nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from deploy.local.errors import StackError

_LINE = re.compile(r"(?P<key>[A-Z][A-Z0-9_]*)=(?P<value>.*)")
_QUOTES = ("'", '"')


def parse(text: str, source: str) -> dict[str, str]:
    """Read the settings in `text`; raise StackError naming `source` and the line that is not understood.

    A value may stand in matching quotes. There is no interpolation, no `export`, no trailing comment, and a key
    may be given once.
    """
    settings: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise StackError(f"{source}, line {number}: not KEY=VALUE with an upper-case key")
        key, value = match["key"], match["value"].strip()
        if key in settings:
            raise StackError(f"{source}, line {number}: {key} is given twice")
        settings[key] = _unquoted(value, f"{source}, line {number}")
    return settings


def read_layers(base: Path, overrides: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Merge the committed file, the override files in order of their names, and the environment; the last one wins."""
    merged = parse(base.read_text(encoding="utf-8"), base.name)
    for path in sorted(overrides.glob("*.env")):
        merged.update(parse(path.read_text(encoding="utf-8"), f"overrides/{path.name}"))
    merged.update(environment)
    return merged


def _unquoted(value: str, where: str) -> str:
    """Take matching quotes off; a quote that is not closed is an error."""
    for quote in _QUOTES:
        if value.startswith(quote) or value.endswith(quote):
            if len(value) < 2 or value[0] != value[-1]:
                raise StackError(f"{where}: a quote is not closed")
            return value[1:-1]
    return value
