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

EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "4")
SEED = os.environ.get("SCHEMATHESIS_SEED", "1")
PHASES = os.environ.get("SCHEMATHESIS_PHASES", "examples,fuzzing,stateful")
ENDS_OUR_LOGIN = (
    "POST /api/v1/auth/logout",
    "POST /api/v1/auth/password",
    "PATCH /api/v1/users/{account_id}",
    "POST /api/v1/users/{account_id}/password",
)
"""They would log the run itself out; tried alone, last."""


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


async def schemathesis(folder: Path, url: str, authorization: str, *options: str) -> tuple[int | None, str]:
    """Run it in a folder of its own, where it keeps what it remembers."""
    config = Path(__file__).parent / "schemathesis.toml"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", f"{url}/openapi.json",
        "--header", f"Authorization: {authorization}", "--checks", "all", "--max-examples", EXAMPLES, "--seed", SEED,
        "--continue-on-failure", "--no-color", "--generation-database", "none", *options,
        cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_s45_schemathesis_finds_nothing(intake: Intake, staff: httpx.AsyncClient, tmp_path: Path) -> None:
    await staff.post("/api/v1/attorneys", json={"name": "Ada", "email": "ada@firm.test"})
    await staff.post("/api/v1/leads", json=lead_json())
    admin = (await make_account(intake, "admin")).headers["Authorization"]
    async with running(intake) as url:
        excluded = [option for name in ENDS_OUR_LOGIN for option in ("--exclude-name", name)]
        status, output = await schemathesis(tmp_path, url, admin, "--phases", PHASES, *excluded)
        print(output)  # noqa: T201 - what `make schemathesis` is for; pytest shows it where the test fails
        assert status == 0, output[-6000:]
        for name in ENDS_OUR_LOGIN:
            admin = (await make_account(intake, "admin")).headers["Authorization"]
            status, output = await schemathesis(
                tmp_path, url, admin, "--include-name", name, "--phases", "examples,fuzzing"
            )
            assert status == 0, output[-6000:]
