"""A child process runs as it was told to."""

import os
import sys
from pathlib import Path

from deploy.local.child import Child


def test_a_child_steps_back_as_far_as_it_is_told(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import signal; signal.pause()"]
    child = Child(command, os.environ, tmp_path, tmp_path / "log", niceness=7)
    try:
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == 7
    finally:
        child.kill()
