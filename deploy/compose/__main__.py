"""The command line: `python -m deploy.compose run|describe`.

run       run the four processes on this machine, in the foreground, on the infrastructure of `make dev-stack-up`
describe  print the composed stack's run.json: E2E_RUN_JSON for the end-to-end tests
"""

from __future__ import annotations

import json
import os
import sys

from deploy.compose.stack import ComposedStack
from deploy.local.errors import StackError


def main() -> int:
    """Carry out one command; print one line and give 1 when it cannot be done."""
    command = sys.argv[1:]
    try:
        addresses = ComposedStack().addresses()
        if command == ["describe"]:
            print(json.dumps(addresses.run_file(), indent=2))  # noqa: T201 - a command prints
            return 0
        if command == ["run"]:
            print(f"In Docker: inbox {addresses.mail_page}, RabbitMQ {addresses.rabbitmq_page}", flush=True)  # noqa: T201 - same
            environment = {**addresses.settings(), **os.environ}  # what the caller gives wins
            os.execve(sys.executable, [sys.executable, "-m", "deploy.local", "run"], environment)  # noqa: S606 - no shell is the point
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - a command prints
        return 1
    print(__doc__, file=sys.stderr)  # noqa: T201 - a command prints
    return 2


if __name__ == "__main__":
    sys.exit(main())
