"""S45: Schemathesis, with all its checks, against the service as it runs: HTTP, PostgreSQL, everything.

`make schemathesis` is the same for longer and with other seeds: SCHEMATHESIS_EXAMPLES, SCHEMATHESIS_SEED.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from intake_api.main import build
from service_chassis.http_server import listen, make_server

from ..documents import lead_json
from .accounts import make_account
from .conftest import Intake

EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "1")
SEED = os.environ.get("SCHEMATHESIS_SEED", "1")
PHASES = os.environ.get("SCHEMATHESIS_PHASES", "fuzzing")


@contextlib.asynccontextmanager
async def running(intake: Intake) -> AsyncIterator[str]:
    """The service on a port of its own."""
    stop = asyncio.Event()
    with contextlib.closing(listen("127.0.0.1", 0)) as listener:
        server = make_server(build(intake.settings, intake.store), grace=5)
        serving = asyncio.create_task(server.run_until(stop, [listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stop.set()
            await serving


async def schemathesis(url: str, login: str, logout_login: str, password_login: str) -> tuple[int | None, str]:
    """Run it; the logins are values of Authorization. Its exit status and what it said."""
    config = Path(__file__).parent / "schemathesis.toml"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", f"{url}/openapi.json",
        "--header", f"Authorization: {login}", "--checks", "all", "--max-examples", EXAMPLES, "--seed", SEED,
        "--phases", PHASES, "--continue-on-failure", "--no-color", "--generation-database", "none",
        env={
            **os.environ,
            "SCHEMATHESIS_LOGOUT_LOGIN": logout_login,
            "SCHEMATHESIS_PASSWORD_LOGIN": password_login,
        },
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_s45_schemathesis_finds_nothing(intake: Intake, staff: httpx.AsyncClient) -> None:
    await staff.post("/api/v1/attorneys", json={"name": "Ada", "email": "ada@firm.test"})
    await staff.post("/api/v1/leads", json=lead_json())
    logins = [(await make_account(intake, "admin")).headers["Authorization"] for _ in range(3)]
    async with running(intake) as url:
        status, output = await schemathesis(url, *logins)
    print(output)  # noqa: T201 - what `make schemathesis` is for; pytest shows it where the test fails
    assert status == 0, output[-6000:]
    states = [(await staff.get("/api/v1/auth/me", headers={"Authorization": one})).status_code for one in logins[:2]]
    assert states == [200, 401], "the login of all other routes held to the end, that of the logout did not"
