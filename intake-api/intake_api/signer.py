"""Values that leave the service and come back unchanged, or are refused: cursors and receipt links.

Each for one purpose: a cursor is no receipt link, and neither is an access token.
"""

from collections.abc import Callable, Sequence
from typing import Any

from itsdangerous import BadData, URLSafeSerializer

LONGEST = 1024
"""Characters; nothing that we sign is longer."""


class UnsignedError(ValueError):
    """The text was not signed by us for this purpose, or by a key that has been retired."""


class Signer:
    """Signs and reads values of JSON's types; ``purpose`` keeps the kinds apart."""

    def __init__(self, keys: Callable[[], Sequence[bytes]]) -> None:
        """``keys`` gives the secrets in use, the signing one last."""
        self._keys = keys

    def sign(self, purpose: str, value: Any) -> str:
        """The value as text for URLs: readable by anyone, changeable by nobody."""
        signed = self._serializer(purpose).dumps(value)
        return signed if isinstance(signed, str) else signed.decode()

    def read(self, purpose: str, text: str) -> Any:
        """The value that was signed. Raises UnsignedError, whatever is wrong."""
        if len(text) > LONGEST:
            raise UnsignedError
        try:
            return self._serializer(purpose).loads(text)
        except (BadData, ValueError) as error:
            raise UnsignedError from error

    def _serializer(self, purpose: str) -> URLSafeSerializer:
        return URLSafeSerializer(list(self._keys()), salt=f"intake-api.{purpose}")
