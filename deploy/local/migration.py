"""`make migrate`: the three databases brought up to date, whether or not a stack runs."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from deploy.local import one_shot
from deploy.local.configuration import configure
from deploy.local.console import Console
from deploy.local.layout import Home
from deploy.local.startup import check_ports


def migrate(home: Home, environment: Mapping[str, str], profile: str, console: Console) -> None:
    """Run the migrations, on a PostgreSQL started for them where ours does not run; raise StackError on failure."""
    configuration = configure(home, environment, profile)
    postgres = configuration.postgres
    borrowed = postgres is None or home.supervisor_file.exists()
    if postgres and not borrowed:
        check_ports([postgres])
        postgres.start()
    try:
        if postgres and not borrowed:
            postgres.wait_ready()
        with console.step(one_shot.MIGRATE.what):
            one_shot.run(one_shot.MIGRATE, home, configuration.settings, threading.Event())
    finally:
        if postgres and not borrowed:
            postgres.stop()
