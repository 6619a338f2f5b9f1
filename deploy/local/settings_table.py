"""Every setting of every service, read from the classes that validate them, so that the table cannot be out of date."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from pydantic import AliasChoices, SecretBytes, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

_CLASSES = (
    "intake_api.settings.IntakeSettings",
    "intake_api.settings.ResumeStorageSettings",
    "assignment_worker.settings.AssignmentSettings",
    "mailer_worker.settings.MailerSettings",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One setting: the environment variable's name (and other names it goes by), type, default, meaning."""

    owner: str
    name: str
    also: list[str]
    type: str
    default: str
    meaning: str


def rows() -> list[Row]:
    """Give the settings of all services, in the order in which their classes list them."""
    found: list[Row] = []
    for path in _CLASSES:
        module, name = path.rsplit(".", 1)
        settings = getattr(importlib.import_module(module), name)
        found.extend(_rows_of(settings, module.split(".")[0].replace("_", "-")))
    return found


def as_json() -> str:
    """Give the table for programs."""
    return json.dumps([asdict(row) for row in rows()], indent=2)


def as_text() -> str:
    """Give the table for people, a heading for each service."""
    found = rows()
    widths = [
        max(len(text) for text in column) for column in zip(*((r.name, r.type, r.default) for r in found), strict=True)
    ]
    lines: list[str] = []
    owner = None
    for row in found:
        if row.owner != owner:
            owner = row.owner
            lines += ["", owner]
        also = f" [also {', '.join(row.also)}]" if row.also else ""
        cells = [cell.ljust(width) for cell, width in zip((row.name, row.type, row.default), widths, strict=True)]
        lines.append(f"  {'  '.join(cells)}  {row.meaning}{also}".rstrip())
    return "\n".join(lines[1:])


def _rows_of(settings: type[BaseSettings], owner: str) -> Iterator[Row]:
    prefix = settings.model_config.get("env_prefix") or ""
    for field_name, field in settings.model_fields.items():
        name, *also = _names(field, f"{prefix}{field_name}".upper())
        yield Row(owner, name, also, _type(field), _default(field), " ".join((field.description or "").split()))


def _names(field: FieldInfo, default: str) -> list[str]:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        named = [choice for choice in alias.choices if isinstance(choice, str)]
        return [choice for choice in named if choice.isupper()] or [default]  # lower case is for code, not for people
    return [alias] if isinstance(alias, str) else [default]


def _type(field: FieldInfo) -> str:
    annotation = field.annotation
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    for noise in ("typing.", "pydantic.types.", "datetime.", "pathlib."):
        text = text.replace(noise, "")
    return text.replace("SecretStr", "secret").replace("SecretBytes", "secret")


def _default(field: FieldInfo) -> str:
    """Show the default; of a secret only whether there is one."""
    if field.is_required():
        return "(required)"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "(computed)"
    if isinstance(value, SecretStr | SecretBytes):
        return "(hidden)" if value.get_secret_value() else "(none)"
    return "(none)" if value is None or value == "" else str(value)
