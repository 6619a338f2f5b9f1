"""The keys that sign access tokens, each with its id (`kid`): the first one signs, all of them verify.

They come from a file, read again when it changes, so that rotation needs no restart: put the new key first, wait
until the last token of the old one has expired, remove the old one. Without a file there is the one secret.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog
from pydantic import SecretStr

log = structlog.get_logger(__name__)

ONLY_KEY_ID = "only"
_LINE = re.compile(r"([A-Za-z0-9_-]{1,64}):(\S+)")

SecretProblem = Callable[[SecretStr], str | None]


def parse_keys(content: str, problem_of: SecretProblem) -> Mapping[str, str]:
    """Read ``kid:secret`` lines. Raises ValueError, which names the line and never shows a secret."""
    keys: dict[str, str] = {}
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise ValueError(f"line {number} is not kid:secret")
        kid, secret = found.groups()
        if kid in keys:
            raise ValueError(f"line {number} repeats a kid")
        if problem := problem_of(SecretStr(secret)):
            raise ValueError(f"the secret in line {number} {problem}")
        keys[kid] = secret
    if not keys:
        raise ValueError("there is no key in it")
    return keys


class SigningKeys:
    """Today's keys. A file that became unreadable is logged, and the keys known before stay."""

    def __init__(self, secret: SecretStr, file: Path | None, problem_of: SecretProblem) -> None:
        self._file = file
        self._problem_of = problem_of
        self._seen: tuple[int, int, int] | None = None
        self._keys: Mapping[str, str] = (
            parse_keys(file.read_text(encoding="utf-8"), problem_of)
            if file
            else {ONLY_KEY_ID: secret.get_secret_value()}
        )

    def signing(self) -> tuple[str, str]:
        """The id and secret that new tokens are signed with."""
        return next(iter(self._current().items()))

    def secrets(self) -> list[bytes]:
        """All secrets in use, the signing one last."""
        return [secret.encode() for secret in self._current().values()][::-1]

    def find(self, kid: str) -> str | None:
        """The secret with this id, if it is still in use. The id is looked up here and nowhere else."""
        return self._current().get(kid)

    def _current(self) -> Mapping[str, str]:
        if self._file is None:
            return self._keys
        try:
            found = self._file.stat()
            seen = (found.st_mtime_ns, found.st_ino, found.st_size)
            if seen != self._seen:
                self._seen = seen
                self._keys = parse_keys(self._file.read_text(encoding="utf-8"), self._problem_of)
        except (OSError, ValueError) as error:
            log.error("signing_keys_unreadable", error=type(error).__name__)
        return self._keys
