"""A process of the product whose clock is wrong: `CHAOS_PROCESS=mailer_worker.worker CHAOS_CLOCK_SKEW=-300`.

`python -m chaos.roots.skewed`. Everything that Python code asks for the time is told the wrong one; the product has no
such switch.
"""

import importlib
import os
from datetime import UTC, datetime, timedelta

import time_machine

from chaos.roots import CLOCK_SKEW, PROCESS


def main() -> None:
    """Run the product's own root in the wrong time."""
    wrong = datetime.now(UTC) + timedelta(seconds=float(os.environ[CLOCK_SKEW]))
    with time_machine.travel(wrong, tick=True):
        importlib.import_module(os.environ[PROCESS]).main()


if __name__ == "__main__":
    main()
