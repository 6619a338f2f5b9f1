"""RabbitMQ and Erlang out of Debian's packages, unpacked into the project: no root, no installation.

Standard library only: the bootstrap runs it beside the installation of the Python packages.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

_WANTED = ("erlang-", "rabbitmq-server")
_ERLANG = "/usr/lib/erlang"
_COMPLETE = "unpacked-at"


class UnpackError(Exception):
    """Says in one line why RabbitMQ cannot be unpacked."""


def is_unpacked(folder: Path) -> bool:
    """Tell whether `folder` holds an unpacked RabbitMQ made for this very place (its scripts hold absolute paths).

    The place is where links lead: whoever comes by another name must not take it for a moved one, and unpack it anew.
    """
    mark = folder / _COMPLETE
    return mark.exists() and mark.read_text(encoding="utf-8") == str(folder.resolve())


def can_unpack() -> bool:
    """Tell whether this machine has Debian's tools."""
    return all(shutil.which(tool) for tool in ("apt-get", "dpkg-deb"))


def unpack(folder: Path) -> None:
    """Download and unpack into `folder`, about 60 MB; raise UnpackError when a step fails."""
    folder = folder.resolve()
    work = folder.with_name(folder.name + ".partial")
    for stale in (folder, work):
        shutil.rmtree(stale, ignore_errors=True)
    for part in ("state/lists/partial", "cache/archives/partial", "packages", "root"):
        (work / part).mkdir(parents=True)
    (work / "status").touch()
    environment = dict(os.environ, APT_CONFIG=str(_configure(work)), LC_ALL="C")
    _run(["apt-get", "update"], work, environment)
    names = _package_names(
        _run(["apt-get", "install", "-s", "--no-install-recommends", "rabbitmq-server"], work, environment)
    )
    _run(["apt-get", "download", *names], work / "packages", environment)
    for package in sorted((work / "packages").glob("*.deb")):
        _run(["dpkg-deb", "-x", str(package), str(work / "root")], work, environment)
    _point_scripts(work / "root", folder)
    (work / "root" / _COMPLETE).write_text(str(folder), encoding="utf-8")
    (work / "root").replace(folder)
    shutil.rmtree(work)


def _configure(work: Path) -> Path:
    """Write an apt configuration whose whole state lies in `work`."""
    config = work / "apt.conf"
    lines = [
        f'Dir::State "{work}/state";',
        f'Dir::State::lists "{work}/state/lists";',
        f'Dir::State::status "{work}/status";',
        f'Dir::Cache "{work}/cache";',
        'Acquire::Languages "none";',
        # As root apt would drop to a user who cannot enter this folder.
        'APT::Sandbox::User "root";',
    ]
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return config


def _package_names(simulation: str) -> list[str]:
    """Pick Erlang's and RabbitMQ's packages from what apt would install; the rest is on every Debian."""
    names = [line.split()[1] for line in simulation.splitlines() if line.startswith("Inst ")]
    wanted = [name for name in names if name.startswith(_WANTED)]
    if "rabbitmq-server" not in wanted:
        raise UnpackError("apt knows no rabbitmq-server package: check /etc/apt/sources.list")
    return wanted


def _point_scripts(root: Path, final: Path) -> None:
    """Name the new place in Erlang's start scripts: with the old one the system's Erlang is used silently."""
    erlang = root / _ERLANG.lstrip("/")
    scripts = [path for name in ("erl", "start") for path in erlang.glob(f"**/bin/{name}") if path.is_file()]
    if not scripts:
        raise UnpackError("the Erlang packages hold no start script: this Debian release is not supported")
    for script in scripts:
        text = script.read_text(encoding="utf-8")
        script.write_text(text.replace(_ERLANG, f"{final}{_ERLANG}"), encoding="utf-8")


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Run one of Debian's tools and give its output; raise UnpackError with its last words."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise UnpackError(f"`{' '.join(command[:2])}` failed while fetching RabbitMQ: {words}")
    return done.stdout


if __name__ == "__main__":
    unpack(Path(sys.argv[1]).resolve())
