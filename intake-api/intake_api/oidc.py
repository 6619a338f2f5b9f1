"""An OpenID provider that may log staff in: its ID tokens, checked against its published keys.

OpenID Connect Core 1.0 s. 3.1.3.7; keys by discovery. Only the issuer that the settings name is ever spoken to:
nothing in a token chooses an address.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import jwt

from intake_api.exceptions import IdentityProviderAwayError, InvalidCredentialsError

ALGORITHMS = ("RS256", "ES256")
LEEWAY_S = 30
FRESH_S = 600
"""An ID token is traded for a session soon after it was made, or not at all."""
KEYS_KEPT_S = 600
FETCH_PAUSE_S = 30
"""Seconds between fetches for the sake of unknown key ids, which a stranger can invent."""
TIMEOUT_S = 5.0
_LONGEST_TOKEN = 16_384


@dataclass(frozen=True)
class Identity:
    """Who the provider says it is. ``email`` is there only when the provider has verified it."""

    subject: str
    email: str | None
    expires_at: datetime


class OidcIssuer:
    """The provider at ``issuer``, where we are ``client_id``."""

    def __init__(self, issuer: str, client_id: str) -> None:
        self.issuer = issuer
        self.client_id = client_id
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = -float("inf")
        self._fetching = asyncio.Lock()

    async def identify(self, id_token: str, nonce: str) -> Identity:
        """Check an ID token. Raises InvalidCredentialsError, whatever is wrong, and IdentityProviderAwayError."""
        try:
            return await self._identify(id_token, nonce)
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise InvalidCredentialsError from error

    async def _identify(self, id_token: str, nonce: str) -> Identity:
        if len(id_token) > _LONGEST_TOKEN:
            raise InvalidCredentialsError
        header = jwt.get_unverified_header(id_token)
        key = await self._key(header.get("kid"))
        if key is None or header["alg"] not in ALGORITHMS or key.algorithm_name != header["alg"] or "crit" in header:
            raise InvalidCredentialsError
        claims: dict[str, Any] = jwt.decode(
            id_token,
            key.key,
            algorithms=[key.algorithm_name],
            audience=self.client_id,
            issuer=self.issuer,
            leeway=LEEWAY_S,
            options={"require": ["iss", "aud", "sub", "exp", "iat", "nonce"]},
        )
        authorized = claims.get("azp", self.client_id if isinstance(claims["aud"], str) else None)
        is_stale = time.time() - float(claims["iat"]) > FRESH_S
        if authorized not in {self.client_id, None} or is_stale or claims["nonce"] != nonce:
            raise InvalidCredentialsError
        if authorized is None and claims["aud"] != [self.client_id]:
            raise InvalidCredentialsError
        email = claims.get("email") if claims.get("email_verified") is True else None
        return Identity(str(claims["sub"]), str(email) if email else None, datetime.fromtimestamp(claims["exp"], UTC))

    async def _key(self, kid: object) -> jwt.PyJWK | None:
        if not isinstance(kid, str):
            return None
        async with self._fetching:
            age = time.monotonic() - self._fetched_at
            if age > KEYS_KEPT_S or (kid not in self._keys and age > FETCH_PAUSE_S):
                self._keys = await self._fetch()
                self._fetched_at = time.monotonic()
        return self._keys.get(kid)

    async def _fetch(self) -> dict[str, jwt.PyJWK]:
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False) as client:
                found = await client.get(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
                configuration = found.raise_for_status().json()
                if configuration["issuer"] != self.issuer:
                    raise IdentityProviderAwayError
                answer = await client.get(configuration["jwks_uri"])
                keys = jwt.PyJWKSet.from_dict(answer.raise_for_status().json()).keys
        except (httpx.HTTPError, ValueError, KeyError, TypeError, jwt.PyJWTError) as error:
            raise IdentityProviderAwayError from error
        return {key.key_id: key for key in keys if key.key_id}
