"""The four kinds of process of the product, as the supervisor runs them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.layout import Home
from deploy.local.ports import PortPlan
from deploy.local.service import Service
from deploy.local.waiting import answers_ok


@dataclass(frozen=True, slots=True)
class ProcessKind:
    """A console script, the setting that counts its processes, and the setting of its ops port."""

    script: str
    count: str
    ops_port: str


API = ProcessKind("intake-api", "API_PROCESSES", "INTAKE_API_OPS_PORT")
WORKERS = (
    ProcessKind("intake-worker", "INTAKE_WORKERS", "INTAKE_WORKER_OPS_PORT"),
    ProcessKind("assignment-worker", "ASSIGNMENT_WORKERS", "ASSIGNMENT_OPS_PORT"),
    ProcessKind("mailer-worker", "MAILER_WORKERS", "MAILER_OPS_PORT"),
)
KINDS = (API, *WORKERS)

_WORKER_NICENESS = 5


class ApplicationProcess(Service):
    """One process of a kind, with an ops port of its own."""

    grace = 40.0  # the longest orderly stop is 37 s: docs/operations.md; docker-compose.yml says the same
    ready_within = 90.0  # a worker waits for its broker meanwhile

    def __init__(
        self, kind: ProcessKind, index: int, count: int, home: Home, plan: PortPlan, settings: Mapping[str, str]
    ):
        name = kind.script if count == 1 else f"{kind.script}-{index + 1}"
        super().__init__(name, name, home)
        self.kind = kind
        self._plan = plan
        self._settings = settings
        self._ops = plan.ops(kind.script, index)
        # The front door first: on a busy machine a visitor's 201 does not wait for mails.
        self.niceness = 0 if kind is API else _WORKER_NICENESS

    @property
    def kind_name(self) -> str:
        """Give the console script's name."""
        return self.kind.script

    def ports(self) -> Mapping[str, int]:
        """Give the ops port, and for the API the shared one."""
        shared = {"the API": self._plan.api} if self.kind is API else {}
        return {**shared, f"{self.name} ops": self._ops}

    def command(self) -> list[str]:
        """Give the console script of the environment that runs us."""
        return [str(Path(sys.executable).with_name(self.kind.script))]

    def environment(self) -> Mapping[str, str]:
        """Give the stack's settings and this process's ops port."""
        return {**self._settings, self.kind.ops_port: str(self._ops), "PYTHONUNBUFFERED": "1"}

    def is_ready(self) -> bool:
        """Ask the process itself; several API processes share one port, so each is asked on its ops port."""
        return answers_ok(self._ops, "/readyz")


def processes(settings: Mapping[str, str], home: Home, plan: PortPlan) -> list[ApplicationProcess]:
    """Give the processes that the settings ask for, the API first."""
    made: list[ApplicationProcess] = []
    for kind in KINDS:
        count = _count(settings, kind)
        made += [ApplicationProcess(kind, index, count, home, plan, settings) for index in range(count)]
    return made


def _count(settings: Mapping[str, str], kind: ProcessKind) -> int:
    text = settings.get(kind.count) or "1"
    if not text.isascii() or not text.isdigit():
        raise StackError(f"{kind.count}={text!r} is no number of processes: give 0, 1, 2, ...")
    return int(text)
