"""A prospect's private link: which row of intake-api it is, and until when, signed with a key that two services share.

The mailer makes it when it hands the mail to the relay, intake-api reads it: so it is in no queue and no table.
"""

import hashlib
from datetime import UTC, datetime
from uuid import UUID

from itsdangerous import BadData, URLSafeSerializer
from pydantic import AliasChoices, BaseModel, Field, SecretStr

LONGEST = 200
"""Characters; no link's token is longer."""

_PURPOSE = "prospect-link.v1"


class InvalidLinkError(ValueError):
    """The text was not signed with this key for this purpose, or its time is over. Deliberately the same."""


class LinkKeyGroup(BaseModel):
    """Prospects' links: the key that intake-api and mailer-worker share."""

    link_key: SecretStr = Field(
        SecretStr(""),
        validation_alias=AliasChoices("LEADS_LINK_KEY", "link_key"),
        description="Key that signs prospects' private links, 32 bytes or more; the same for intake-api and mailer",
    )


class LinkTokens:
    """Makes and reads the tokens of links (HMAC-SHA256)."""

    def __init__(self, key: SecretStr) -> None:
        self._serializer = URLSafeSerializer(
            key.get_secret_value(),
            salt=_PURPOSE,
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )

    def issue(self, link_id: UUID, expires_at: datetime) -> str:
        """The token, in letters, digits, ``-``, ``_`` and ``.``; the same each time."""
        return str(self._serializer.dumps([link_id.hex, int(expires_at.timestamp())]))

    def read(self, token: str, now: datetime) -> UUID:
        """The link that a token is of. Raises InvalidLinkError."""
        if len(token) > LONGEST:
            raise InvalidLinkError
        try:
            link_id, expires_at = self._serializer.loads(token)
        except (BadData, ValueError) as error:
            raise InvalidLinkError from error
        if now >= datetime.fromtimestamp(expires_at, UTC):
            raise InvalidLinkError
        return UUID(link_id)
