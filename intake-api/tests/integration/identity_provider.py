"""An OpenID provider on loopback: discovery, keys, and ID tokens of any shape."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from service_chassis.http_server import listen, make_server
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

CLIENT_ID = "lead-desk"
NONCE = "a nonce of the client"


@dataclass
class Provider:
    """The provider; ``fetches`` counts how often its keys were asked for."""

    url: str = ""
    keys: dict[str, Any] = field(default_factory=dict)
    fetches: int = 0
    says_it_is: str | None = None

    def add_key(self, kid: str, kind: str = "RS256") -> None:
        self.keys[kid] = (
            rsa.generate_private_key(65537, 2048) if kind == "RS256" else ec.generate_private_key(ec.SECP256R1()),
            kind,
        )

    def token(self, kid: str = "first", *, headers: dict[str, Any] | None = None, **changes: object) -> str:
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.url, "aud": CLIENT_ID, "sub": "subject-1", "exp": now + 300, "iat": now, "nonce": NONCE,
            "email": "eve@firm.test", "email_verified": True, "jti": str(uuid4()),
        }  # fmt: skip
        claims = {key: value for key, value in {**claims, **changes}.items() if value is not None}
        key, kind = self.keys[kid]
        return jwt.encode(claims, key, kind, {"kid": kid, **(headers or {})})

    async def configuration(self, _request: Request) -> JSONResponse:
        return JSONResponse({"issuer": self.says_it_is or self.url, "jwks_uri": f"{self.url}/keys"})

    async def jwks(self, _request: Request) -> JSONResponse:
        self.fetches += 1
        public = []
        for kid, (key, kind) in self.keys.items():
            to_jwk = RSAAlgorithm.to_jwk if kind == "RS256" else ECAlgorithm.to_jwk
            public.append({**json.loads(to_jwk(key.public_key())), "kid": kid, "alg": kind, "use": "sig"})
        return JSONResponse({"keys": public})


@contextlib.asynccontextmanager
async def identity_provider() -> AsyncIterator[Provider]:
    """Serve a provider with one key until the end of the block."""
    provider, stop = Provider(), asyncio.Event()
    provider.add_key("first")
    app = Starlette(
        routes=[
            Route("/.well-known/openid-configuration", provider.configuration),
            Route("/keys", provider.jwks),
        ]
    )
    with contextlib.closing(listen("127.0.0.1", 0)) as listener:
        provider.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        serving = asyncio.create_task(make_server(app, grace=1).run_until(stop, [listener]))
        try:
            yield provider
        finally:
            stop.set()
            await serving
