"""A child process runs as it was told to."""

import os
import resource
import sys
from pathlib import Path

from deploy.local.child import Child, raise_file_limit


def test_a_child_steps_back_as_far_as_it_is_told(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import signal; signal.pause()"]
    child = Child(command, os.environ, tmp_path, tmp_path / "log", niceness=7)
    try:
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == 7
    finally:
        child.kill()


def test_a_plain_users_file_limit_is_raised() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        raise_file_limit()
        raised, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert raised == (65536 if hard == resource.RLIM_INFINITY else min(hard, 65536))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
