"""Values that leave the service and come back unchanged, or are refused: cursors and receipt links.

Signed by the keys of the access tokens, for one purpose each: a cursor is no receipt link and neither is a token.
"""

from typing import Any

from itsdangerous import BadData, URLSafeSerializer

from intake_api.signing_keys import SigningKeys

LONGEST = 1024
"""Characters; nothing that we sign is longer."""


class UnsignedError(ValueError):
    """The text was not signed by us for this purpose, or by a key that has been retired."""


class Signer:
    """Signs and reads values of JSON's types; ``purpose`` keeps the kinds apart."""

    def __init__(self, keys: SigningKeys) -> None:
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
        return URLSafeSerializer(self._keys.secrets(), salt=f"intake-api.{purpose}")
