"""Commands that run once and must succeed: migrations, topology, seeding."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from deploy.local.child import MARKER, Child, describe_exit
from deploy.local.errors import StackError
from deploy.local.layout import ROOT, Home
from deploy.local.waiting import StartCancelledError, wait_until

_LONGEST = 120.0


@dataclass(frozen=True, slots=True)
class OneShot:
    """A module to run, with the name that a person reads."""

    name: str
    what: str
    arguments: tuple[str, ...]


SERVICES = ("intake_api", "assignment_worker", "mailer_worker")
MIGRATE = OneShot(
    "migrate",
    "migrations",
    ("service_chassis.migrate", *(part for name in SERVICES for part in ("--service", name)), "up"),
)
DECLARE_TOPOLOGY = OneShot("topology", "exchanges and queues", ("service_chassis.topology", "declare"))
SEED = OneShot(
    "seed",
    "three demo attorneys and an admin",
    ("intake_api.seed", "--attorneys", "3", "--admin-email", "admin@example.com"),
)


def run(step: OneShot, home: Home, settings: Mapping[str, str], cancel: threading.Event) -> None:
    """Run `python -m ...` to its end; raise StackError with its last words when it fails."""
    log = home.log / f"{step.name}.log"
    environment = {**settings, MARKER: str(home.folder)}
    child = Child([sys.executable, "-m", *step.arguments], environment, ROOT, log)
    late = f"{step.what}: not done after {_LONGEST:g} s: see {home.shown(log)}"
    try:
        wait_until(lambda: child.exit_status() is not None, within=_LONGEST, what=late, cancel=cancel)
    except (StackError, StartCancelledError):
        child.kill()
        raise
    status = child.exit_status()
    if status:
        raise StackError(f"{step.what} failed ({describe_exit(status)}): {child.last_words()} [{home.shown(log)}]")
