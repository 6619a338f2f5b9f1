"""Makes the environment that everything else runs in; does nothing when it is there and nothing has changed.

Standard library only, run by the system's Python: `python3 -m deploy.local.bootstrap`. Makes `.local/venv` from
requirements.lock, hashes checked, installs the workspace members in place, and meanwhile fetches RabbitMQ where
the machine has none.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from deploy.local import bootstrap_stamp, rabbitmq_presence, rabbitmq_unpack

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / ".local"
VENV = LOCAL / "venv"
MEMBERS = ("shared-schemas", "service-chassis", "intake-api", "assignment-worker", "mailer-worker")
_OLDEST = (3, 11)


class BootstrapError(Exception):
    """Says in one line what is wrong and what to do."""


def main() -> int:
    """Bring the environment up to date; print one line and return 1 when that is impossible."""
    _leave_for_newer_python()
    try:
        LOCAL.mkdir(mode=0o700, exist_ok=True)
        stamp = bootstrap_stamp.expected(ROOT, MEMBERS)
        if bootstrap_stamp.is_current(VENV, stamp) and _rabbitmq_is_here():
            return 0
        with _one_at_a_time():
            if not bootstrap_stamp.is_current(VENV, stamp):
                bootstrap_stamp.forget(VENV)
                _install(stamp)
            elif not _rabbitmq_is_here():
                _fetch_rabbitmq()
    except (BootstrapError, rabbitmq_unpack.UnpackError) as error:
        print(f"bootstrap: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _leave_for_newer_python() -> None:
    """Go on under a Python that is new enough, when this one is not."""
    if sys.version_info >= _OLDEST:
        return
    for name in ("python3.13", "python3.12", "python3.11"):
        newer = shutil.which(name)
        if newer:
            os.execv(newer, [newer, "-m", "deploy.local.bootstrap"])  # noqa: S606 - no shell is the point
    print("bootstrap: Python 3.11 or newer is needed: install python3.11 (or newer) and start again", file=sys.stderr)
    sys.exit(1)


def _install(stamp: str) -> None:
    """Install the packages, and RabbitMQ beside them; the first failure is the one reported."""
    failed: list[Exception] = []

    def fetch() -> None:
        try:
            _fetch_rabbitmq()
        except rabbitmq_unpack.UnpackError as error:
            failed.append(error)

    beside = threading.Thread(target=fetch, name="rabbitmq")
    if not _rabbitmq_is_here():
        beside.start()
    try:
        _install_packages()
    finally:
        if beside.ident is not None:
            beside.join()
    bootstrap_stamp.write(VENV, stamp)
    if failed:
        raise failed[0]


def _install_packages() -> None:
    uv = _find_uv() or _install_uv()
    if not (VENV / "bin" / "python").exists():
        shutil.rmtree(VENV, ignore_errors=True)
    with _step("Python packages"):
        _uv(uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(VENV))
        _uv(uv, "pip", "sync", "--quiet", "--require-hashes", "--python", str(VENV), str(ROOT / "requirements.lock"))
        members = [part for member in MEMBERS for part in ("--editable", str(ROOT / member))]
        _uv(uv, "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--python", str(VENV), *members)


def _find_uv() -> str | None:
    """Give our own uv, else one on PATH."""
    own = LOCAL / "uv" / "bin" / "uv"
    return str(own) if own.exists() else shutil.which("uv")


def _install_uv() -> str:
    """Install uv into a small environment of its own: `uv pip sync` would take it out of the big one."""
    folder = LOCAL / "uv"
    shutil.rmtree(folder, ignore_errors=True)
    with _step("uv, the package installer"):
        if importlib.util.find_spec("ensurepip") is None:
            _install_ensurepip()
        _run([sys.executable, "-m", "venv", str(folder)], "python3 -m venv")
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "uv>=0.5"], "pip install uv")
    return str(folder / "bin" / "uv")


def _install_ensurepip() -> None:
    """Debian ships it apart: install it where we may, else say how."""
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    command = ["apt-get", "install", "-y", "--no-install-recommends", package]
    if not shutil.which("apt-get"):
        raise BootstrapError("this Python has no ensurepip: install uv, or a Python with venv, and start again")
    if os.geteuid() != 0:
        sudo = shutil.which("sudo")
        if not sudo or subprocess.run([sudo, "-n", "true"], check=False, capture_output=True).returncode != 0:
            raise BootstrapError(f"this Python has no ensurepip: run `sudo {' '.join(command)}` and start again")
        command = [sudo, "-n", *command]
    _run([*command[: command.index("install")], "update"], "apt-get update")
    _run(command, "apt-get install")


def _rabbitmq_is_here() -> bool:
    """Whether nothing is to be fetched: a broker is given, installed, unpacked, or cannot be unpacked here."""
    if os.environ.get("AMQP_URL") or rabbitmq_presence.system_server() or not rabbitmq_unpack.can_unpack():
        return True
    return rabbitmq_unpack.is_unpacked(LOCAL / "rabbitmq")


def _fetch_rabbitmq() -> None:
    with _step("RabbitMQ and Erlang, unpacked from Debian's packages"):
        rabbitmq_unpack.unpack(LOCAL / "rabbitmq")


def _uv(uv: str, *arguments: str) -> None:
    _run([uv, *arguments], f"uv {' '.join(arguments[:2])}")


def _run(command: list[str], what: str) -> None:
    """Run a program quietly; raise BootstrapError with its last words when it fails."""
    environment = dict(os.environ, UV_PYTHON_DOWNLOADS="never", DEBIAN_FRONTEND="noninteractive")
    environment.pop("VIRTUAL_ENV", None)
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        log = LOCAL / "bootstrap.log"
        log.write_text(done.stdout, encoding="utf-8")
        words = [line.strip() for line in done.stdout.splitlines() if line.strip()] or ["no output"]
        raise BootstrapError(f"`{what}` failed: {words[-1]} [all of it in .local/{log.name}]")


@contextlib.contextmanager
def _step(what: str) -> Iterator[None]:
    print(f"  ..    {what}", flush=True)
    began = time.monotonic()
    yield
    print(f"{time.monotonic() - began:5.1f} s {what}", flush=True)


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Let a second bootstrap of this checkout wait for the first."""
    with (LOCAL / "bootstrap.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main())
