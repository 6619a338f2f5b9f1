"""A composed stack that runs, with its addresses file and logs in a folder."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from deploy.compose.stack import INFRASTRUCTURE, ComposedStack
from deploy.local.layout import ROOT

_PROCESSES = ("intake-api", "intake-worker", "assignment-worker", "mailer-worker")
_LOGGED = (*_PROCESSES, *(name for name in INFRASTRUCTURE if name != "mail"))  # mail says whom it got mail for


class RunningStack:
    """The stack under test and the folder with its run.json and logs."""

    def __init__(self, stack: ComposedStack, folder: Path) -> None:
        self.compose = stack.compose
        self.addresses = stack.addresses()
        self.folder = folder
        self._stack = stack
        self._logs: subprocess.Popen[bytes] | None = None

    def up(self, *options: str) -> float:
        """Bring it up as `options` say and follow its logs; give the seconds until all of it was ready."""
        self._stop_following()
        began = time.monotonic()
        self.compose("up", "--wait", *options)
        seconds = time.monotonic() - began
        (self.folder / "run.json").write_text(json.dumps(self.addresses.run_file()), encoding="utf-8")
        log = self.folder / "log"
        log.mkdir(exist_ok=True)
        with (log / "containers.log").open("ab") as file:
            self._logs = subprocess.Popen(  # noqa: S603 - a command of our own making
                self._stack.command("logs", "--follow", "--no-color", *_LOGGED),
                cwd=ROOT,
                env=self._stack.environment(),
                stdout=file,
                stderr=file,
            )
        return seconds

    def running(self, service: str) -> int:
        """How many containers of a service are running and healthy."""
        rows = self.compose("ps", "--format", "json", service).splitlines()
        return sum(json.loads(row)["Health"] == "healthy" for row in rows)

    def down(self) -> None:
        """Take it away with its data."""
        self._stop_following()
        self.compose("down", "--volumes", "--remove-orphans")

    def _stop_following(self) -> None:
        if self._logs is not None:
            self._logs.terminate()
            self._logs.wait(10)
            self._logs = None
