"""Where an installed RabbitMQ and Erlang would be. Standard library only: the bootstrap asks it too."""

from __future__ import annotations

import shutil
from pathlib import Path

_HOMES = ("usr/lib/rabbitmq/lib/rabbitmq_server-*", "opt/homebrew/opt/rabbitmq", "usr/local/opt/rabbitmq")
_ERLANGS = ("/usr/lib/erlang", "/opt/homebrew/opt/erlang/lib/erlang", "/usr/local/opt/erlang/lib/erlang")


def system_erlang() -> Path | None:
    """Give the folder of an installed Erlang, or None."""
    return next((path for path in map(Path, _ERLANGS) if (path / "bin" / "erl").is_file()), None)


def system_server() -> Path | None:
    """Give the `rabbitmq-server` script of an installed RabbitMQ that has its Erlang, or None.

    Never Debian's wrapper in /usr/sbin, which insists on the system's account.
    """
    if system_erlang() is None:
        return None
    homes = [path for pattern in _HOMES for path in sorted(Path("/").glob(pattern), reverse=True)]
    scripts = [home / "sbin" / "rabbitmq-server" for home in homes]
    on_path = shutil.which("rabbitmq-server")
    if on_path and "rabbitmq_server-" in str(Path(on_path).resolve()):
        scripts.append(Path(on_path).resolve())
    return next((path for path in scripts if path.is_file()), None)
