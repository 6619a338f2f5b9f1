"""The passwords and keys of one stack: generated at its first start, the same ever after."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field, fields

from deploy.local import private_file
from deploy.local.errors import StackError
from deploy.local.layout import Home


def _password() -> str:
    """192 random bits in characters that need no quoting in a URL."""
    return secrets.token_urlsafe(24)


@dataclass(frozen=True, slots=True)
class StackSecrets:
    """Everything that must not be guessed."""

    postgres_superuser: str = field(default_factory=_password)
    intake_owner: str = field(default_factory=_password)
    intake_app: str = field(default_factory=_password)
    assignment_owner: str = field(default_factory=_password)
    assignment_app: str = field(default_factory=_password)
    mailer_owner: str = field(default_factory=_password)
    mailer_app: str = field(default_factory=_password)
    rabbitmq: str = field(default_factory=_password)
    s3_access_key: str = field(default_factory=lambda: secrets.token_hex(10))
    s3_secret_key: str = field(default_factory=_password)
    auth_secret: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    suppression_secret: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    link_key: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    admin_password: str = field(default_factory=lambda: secrets.token_urlsafe(12))

    def role(self, name: str) -> str:
        """Password of a database role such as `intake_owner`."""
        return str(getattr(self, name))


def load_or_create(home: Home) -> StackSecrets:
    """Read the home's secrets, adding those that a newer version asks for; make them if there are none."""
    known: dict[str, str] = {}
    if home.secrets_file.exists():
        try:
            stored = json.loads(home.secrets_file.read_text(encoding="utf-8"))
        except ValueError:
            shown = home.shown(home.secrets_file)
            raise StackError(f"{shown} is not readable JSON: run `make clean` to start afresh") from None
        names = {entry.name for entry in fields(StackSecrets)}
        known = {name: str(value) for name, value in stored.items() if name in names}
    result = StackSecrets(**known)
    if asdict(result) != known:
        private_file.write_json(home.secrets_file, asdict(result))
    return result
