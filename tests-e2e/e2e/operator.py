"""leadctl as an operator runs it: the installed program, with a stack's addresses in its environment."""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.stack import Stack


@dataclass(frozen=True)
class Answer:
    """What a run of leadctl left: its exit code, and what it printed."""

    code: int
    output: str
    errors: str

    @property
    def json(self) -> Any:
        """The output of ``--json``."""
        assert self.output, f"no output; exit {self.code}: {self.errors}"
        return json.loads(self.output)


async def leadctl(stack: Stack, *arguments: str, **environment: str) -> Answer:
    """Run leadctl as the stack's admin. ``environment`` changes its settings (LEADCTL_...)."""
    run = stack.run
    settings = {
        "LEADCTL_API_URL": stack.api_url,
        "LEADCTL_EMAIL": run["admin"]["email"],
        "LEADCTL_PASSWORD": run["admin"]["password"],
        **{f"LEADCTL_{name.upper()}_OPS_URL": url for name, url in run["ops_urls"].items()},
    }
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("leadctl")),
        *arguments,
        env={**os.environ, **settings, **environment, "COLUMNS": "250", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return Answer(process.returncode or 0, output.decode(), errors.decode())
