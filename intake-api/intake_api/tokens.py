"""Access tokens: JWT (RFC 7519) in the profile of RFC 9068, checked as RFC 8725 asks.

One algorithm, whatever the token says; a key is chosen by `kid` from our own; no other header means anything.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

import jwt
from pydantic import BaseModel, ConfigDict, ValidationError

from intake_api.exceptions import NotAuthenticatedError
from intake_api.settings import IntakeSettings
from intake_api.signing_keys import SigningKeys

ALGORITHM = "HS256"
TOKEN_TYPE = "at+jwt"  # noqa: S105 - a media type (RFC 9068 s. 2.1), not a secret
LEEWAY_S = 30
LONGEST_LIFETIME_S = 86_400
"""No token lives longer, whatever it says: the greatest INTAKE_AUTH_TOKEN_LIFETIME."""
_LONGEST_TOKEN = 2048
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_HEADERS = {"alg", "typ", "kid"}


@dataclass(frozen=True)
class AccessToken:
    """A signed token and the seconds it is valid."""

    value: str
    expires_in: int


class Claims(BaseModel):
    """What a token says: of which session of which account it is, and when it is valid (seconds since 1970)."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)

    iss: str
    aud: str
    sub: str
    sid: str
    jti: str
    iat: int
    nbf: int
    exp: int

    @property
    def account_id(self) -> UUID:
        """Whose token it is. Raises ValueError."""
        return UUID(self.sub)

    @property
    def session_id(self) -> UUID:
        """The login it came of. Raises ValueError."""
        return UUID(self.sid)


class AccessTokens:
    """Signs and checks access tokens. Whether the session still stands is the database's to say."""

    def __init__(self, keys: SigningKeys, issuer: str, lifetime_s: float) -> None:
        self._keys = keys
        self._issuer = issuer
        self._lifetime_s = int(lifetime_s)

    @property
    def hash_key(self) -> str:
        """A key for hashes that only have to outlive a rotation by luck: who failed to log in."""
        return self._keys.signing()[1]

    def sign(self, account_id: UUID, session_id: UUID) -> AccessToken:
        """Make a token for a session."""
        kid, secret = self._keys.signing()
        now = int(datetime.now(UTC).timestamp())
        claims = Claims(
            iss=self._issuer,
            aud=self._issuer,
            sub=str(account_id),
            sid=str(session_id),
            jti=str(uuid4()),
            iat=now,
            nbf=now,
            exp=now + self._lifetime_s,
        )
        headers = {"kid": kid, "typ": TOKEN_TYPE}
        return AccessToken(jwt.encode(claims.model_dump(), secret, ALGORITHM, headers), self._lifetime_s)

    def read(self, token: str) -> Claims:
        """Check a token. Raises NotAuthenticatedError, whatever is wrong with it."""
        try:
            return self._read(token)
        except (jwt.InvalidTokenError, ValidationError, ValueError) as error:
            raise NotAuthenticatedError from error

    def _read(self, token: str) -> Claims:
        if len(token) > _LONGEST_TOKEN or not _COMPACT.fullmatch(token):
            raise NotAuthenticatedError
        header = jwt.get_unverified_header(token)
        if header.keys() != _HEADERS or header["typ"] != TOKEN_TYPE:
            raise NotAuthenticatedError
        secret = self._keys.find(header["kid"])
        if secret is None:
            raise NotAuthenticatedError
        claims = Claims.model_validate(
            jwt.decode(
                token,
                secret,
                algorithms=[ALGORITHM],
                audience=self._issuer,
                issuer=self._issuer,
                leeway=LEEWAY_S,
                options={"strict_aud": True},
            )
        )
        if not 0 < claims.exp - claims.iat <= LONGEST_LIFETIME_S or not (claims.account_id and claims.session_id):
            raise NotAuthenticatedError
        return claims


def make_tokens(settings: IntakeSettings, keys: SigningKeys) -> AccessTokens:
    """Tokens signed by these keys and checked as the settings say."""
    return AccessTokens(keys, settings.auth_issuer, settings.auth_token_lifetime)
