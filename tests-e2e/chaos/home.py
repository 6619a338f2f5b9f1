"""What an arena is made of: its settings, its broker's, its folder, and what killed arenas have left behind."""

import shutil
from collections.abc import Callable

import psutil
from e2e.stack import QUICK

from chaos.cluster import QUICK_FIGURES
from deploy.local import leftovers
from deploy.local.console import Console
from deploy.local.layout import ROOT, Home
from deploy.local.rabbitmq import RabbitNode

HOMES = ROOT / ".local" / "chaos" / "homes"
HEARTBEAT_S = 5
SCALE = {"API_PROCESSES": "1", "INTAKE_WORKERS": "2", "ASSIGNMENT_WORKERS": "2", "MAILER_WORKERS": "2"}
SETTINGS = {
    **QUICK,
    **SCALE,
    **{f"{service}_CONSUMER_HEARTBEAT": str(HEARTBEAT_S) for service in ("INTAKE", "ASSIGNMENT", "MAILER")},
    "INTAKE_REQUEST_DEADLINE": "4",
    "INTAKE_IDEMPOTENCY_LEASE": "5",
    "INTAKE_ORPHAN_GRACE": "8",
    "INTAKE_RECONCILE_INTERVAL": "2",
    "RESUMES_S3_TIMEOUT": "3",
}


class QuickNode(RabbitNode):
    """A node whose figures of messages in hand are half a second old instead of five."""

    def more_configuration(self) -> list[str]:
        return [QUICK_FIGURES]


class Telling(Console):
    """Passes on what a start says, wherever that goes."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._tell = tell

    def say(self, line: str = "") -> None:
        self._tell(line)


def clear_away_dead_arenas() -> None:
    """End what arenas that were killed have left, and take their folders away."""
    HOMES.mkdir(parents=True, exist_ok=True)
    for folder in HOMES.iterdir():
        if folder.name.isdigit() and not psutil.pid_exists(int(folder.name)):
            leftovers.stop(Home(folder))
            shutil.rmtree(folder, ignore_errors=True)
