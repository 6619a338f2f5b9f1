"""The supervisor's control socket: one JSON line in, one JSON line out.

A Unix socket in a folder that only its owner may enter: in the home, or in a temporary folder where the home's path
is too long for one. supervisor.json says where.
"""

from __future__ import annotations

import json
import shutil
import socket
import socketserver
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.layout import Home

SOCKET = "control.sock"
Answer = Mapping[str, object]
_LONGEST_PATH = 100  # bytes; the system's limit is 104 to 108


class ControlServer:
    """Answers commands, each in a thread of its own, until closed."""

    def __init__(self, home: Home, handle: Callable[[Mapping[str, object]], Answer]) -> None:
        self._temporary: Path | None = None
        self.path = home.folder / SOCKET
        if len(str(self.path).encode()) > _LONGEST_PATH:
            self._temporary = Path(tempfile.mkdtemp(prefix="leads-"))
            self.path = self._temporary / SOCKET
        self.path.unlink(missing_ok=True)

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                try:
                    answer = handle(json.loads(self.rfile.readline()))
                except (StackError, ValueError, KeyError) as error:
                    answer = {"error": str(error)}
                self.wfile.write(json.dumps(answer).encode() + b"\n")

        self._server = socketserver.ThreadingUnixStreamServer(str(self.path), Handler)
        self._server.daemon_threads = True
        self.path.chmod(0o600)
        threading.Thread(target=self._server.serve_forever, name="control", daemon=True).start()

    def close(self) -> None:
        """Stop answering and take the socket away."""
        self._server.shutdown()
        self._server.socket.close()
        self.path.unlink(missing_ok=True)
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)


def ask(home: Home, request: Mapping[str, object], timeout: float = 90.0) -> Answer:
    """Send a command to the home's supervisor; raise StackError when there is none or it refuses."""
    try:
        path = json.loads(home.supervisor_file.read_text(encoding="utf-8"))["socket"]
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connection.connect(path)
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer: dict[str, object] = json.loads(connection.makefile().readline())
    except (OSError, ValueError, KeyError):
        raise StackError("no stack is running here: `make up` starts one") from None
    if "error" in answer:
        raise StackError(str(answer["error"]))
    return answer
