"""Whether a Docker engine is there to be used."""

from __future__ import annotations

import shutil
import subprocess


def engine_answers() -> bool:
    """Tell whether a Docker engine answers within 2 s."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        return subprocess.run([docker, "info"], capture_output=True, timeout=2, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False
