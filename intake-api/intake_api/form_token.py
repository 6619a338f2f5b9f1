"""A signed note of when a form was rendered: who sends a form back within a second is no person.

Weak on purpose: a program may wait. It costs a visitor nothing and calls nobody (docs/security.md).
"""

import base64
import binascii
import hmac
import secrets
import struct
from dataclasses import dataclass
from hashlib import sha256

_NOTE = struct.Struct(">Q8s")
_MAC_BYTES = 16


@dataclass(frozen=True)
class FormTokens:
    """Signs and reads the notes. ``minimum`` and ``lifetime`` in seconds; times are those of this host's clock."""

    key: bytes
    minimum: float
    lifetime: float
    required: bool

    def issue(self, now: float) -> str:
        """Sign a token for a form that is rendered ``now`` (seconds since the epoch)."""
        note = _NOTE.pack(int(now * 1000), secrets.token_bytes(8))
        return base64.urlsafe_b64encode(note + self._mac(note)).decode()

    def problem(self, token: str | None, now: float) -> str | None:
        """Why the token speaks for a program, or None: ``no-form-token``, ``form-token-invalid``, ``-too-fast``..."""
        if token is None:
            return "no-form-token" if self.required else None
        try:
            raw = base64.urlsafe_b64decode(token.encode("ascii", "replace"))
        except (binascii.Error, ValueError):
            return "form-token-invalid"
        note, mac = raw[: _NOTE.size], raw[_NOTE.size :]
        if len(note) != _NOTE.size or not hmac.compare_digest(mac, self._mac(note)):
            return "form-token-invalid"
        age = now - _NOTE.unpack(note)[0] / 1000
        if age > self.lifetime:
            return "form-token-expired"
        return "form-filled-too-fast" if age < self.minimum else None

    def _mac(self, note: bytes) -> bytes:
        return hmac.digest(self.key, note, sha256)[:_MAC_BYTES]
