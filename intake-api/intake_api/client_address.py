"""Who a request comes from, when it came through proxies.

X-Forwarded-For is believed as far as trusted proxies wrote it: read from its end, the first address that is
none of theirs is the client. Without trusted proxies the header is not read.
"""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

Network = IPv4Network | IPv6Network


def client_of(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """The client's address: ``peer``, unless it is a trusted proxy that says whom it speaks for."""
    client = peer
    for text in reversed(forwarded):
        if not _is_trusted(client, trusted):
            break
        try:
            client = str(ip_address(text.strip()))
        except ValueError:
            break
    return client


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in trusted)


class ForwardedClient:
    """Puts the client's own address into the request's scope (ASGI). ``trusted`` in CIDR notation."""

    def __init__(self, app: ASGIApp, trusted: Sequence[str]) -> None:
        self._app = app
        self._trusted = [ip_network(part) for part in trusted]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request (ASGI)."""
        if scope["type"] == "http" and self._trusted and scope.get("client"):
            peer, port = scope["client"]
            lines = Headers(scope=scope).getlist("x-forwarded-for")
            found = client_of(peer, ",".join(lines).split(",") if lines else [], self._trusted)
            scope = {**scope, "client": (found, port if found == peer else 0)}
        await self._app(scope, receive, send)
