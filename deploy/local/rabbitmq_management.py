"""The few calls of RabbitMQ's management API that the stack and the tests need."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from urllib.parse import quote, urlsplit

from deploy.local.errors import StackError


@dataclass(frozen=True, slots=True)
class Management:
    """The management API of one node, called as one user."""

    url: str
    user: str
    password: str

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> int:
        """Give the status of a call; 0 when nobody answers."""
        address = urlsplit(self.url)
        connection = HTTPConnection(address.hostname or "127.0.0.1", address.port, timeout=15)
        login = b64encode(f"{self.user}:{self.password}".encode()).decode()
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, body=None if body is None else json.dumps(body), headers=headers)
            return connection.getresponse().status
        except (OSError, HTTPException):
            return 0
        finally:
            connection.close()

    def answers(self) -> bool:
        """Tell whether the node is up and knows the user."""
        return self.call("GET", "/api/overview") == 200

    def create_vhost(self, name: str) -> None:
        """Make a virtual host that the user may do everything in; raise StackError when the node refuses."""
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self._must("PUT", f"/api/vhosts/{quote(name, safe='')}", {})
        self._must("PUT", f"/api/permissions/{quote(name, safe='')}/{quote(self.user, safe='')}", everything)

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host with everything in it; raise StackError when the node refuses."""
        self._must("DELETE", f"/api/vhosts/{quote(name, safe='')}", None)

    def _must(self, method: str, path: str, body: Mapping[str, object] | None) -> None:
        status = self.call(method, path, body)
        if not 200 <= status < 300:
            raise StackError(f"RabbitMQ's management API: {method} {path} answered {status or 'nothing'}")
