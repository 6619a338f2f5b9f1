"""Applications served on a port of this machine, and leadctl as an operator runs it against them."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

from service_chassis.http_server import listen, make_server
from starlette.types import ASGIApp


@dataclass(frozen=True)
class Command:
    """leadctl as an operator runs it, against a served application."""

    environment: dict[str, str]

    async def run(self, *arguments: str, stdin: str = "", **environment: str) -> tuple[int, str, str]:
        """Run it; its exit code and what it wrote to stdout and stderr."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "intake_api.leadctl.main", *arguments,
            env={**self.environment, **environment},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate(f"{stdin}\n".encode())
        return process.returncode or 0, out.decode(), err.decode()


@contextlib.asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    """Serve an application that is running already; its origin."""
    stop = asyncio.Event()
    with contextlib.closing(listen("127.0.0.1", 0)) as listener:
        server = make_server(app, grace=1)
        server.config.lifespan = "off"
        serving = asyncio.create_task(server.run_until(stop, [listener]))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        stop.set()
        await serving
