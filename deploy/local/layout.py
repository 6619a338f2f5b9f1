"""Where things lie: what a checkout shares (`.local/`) and what belongs to one stack (its home)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".local"
ENVIRONMENTS = ROOT / "deploy" / "env"


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one stack: data, logs, secrets, run file."""

    folder: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], given: str | None = None) -> Home:
        """The home given on the command line, else LEADS_HOME, else `.local` in the checkout."""
        chosen = given or environment.get("LEADS_HOME")
        return cls(Path(chosen).expanduser().resolve() if chosen else TOOLS)

    @property
    def data(self) -> Path:
        """Data of the services, kept between runs."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """Output of every process."""
        return self.folder / "log"

    @property
    def run_file(self) -> Path:
        """Addresses, credentials and live pids, for tests and tools."""
        return self.folder / "run.json"

    @property
    def secrets_file(self) -> Path:
        """What was generated once and must stay the same."""
        return self.folder / "secrets.json"

    @property
    def supervisor_file(self) -> Path:
        """Who supervises this home, where its control socket is, and what it has started."""
        return self.folder / "supervisor.json"

    @property
    def lock_file(self) -> Path:
        """Locked by the running supervisor."""
        return self.folder / "supervisor.lock"

    @property
    def supervisor_log(self) -> Path:
        """What a supervisor in the background says."""
        return self.log / "supervisor.log"

    def create(self) -> None:
        """Make the folders, closed to other users."""
        for folder in (self.folder, self.data, self.log):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def shown(self, path: Path) -> str:
        """The path as a person would type it: relative to the checkout where that is shorter."""
        return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
