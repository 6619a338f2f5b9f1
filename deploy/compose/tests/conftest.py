"""A composed stack for the session: own project, own ports, built from this checkout, gone afterwards."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Iterator

import pytest
from e2e.stack import free_base

from deploy.compose.stack import ComposedStack
from deploy.compose.tests.running import RunningStack
from deploy.local.docker_engine import engine_answers
from deploy.local.errors import StackError
from deploy.local.layout import ROOT

_PORTS = {
    "LEADS_API_PORT": 0,
    "LEADS_POSTGRES_PORT": 10,
    "LEADS_AMQP_PORT": 11,
    "LEADS_RABBITMQ_PAGE_PORT": 12,
    "LEADS_MAIL_PAGE_PORT": 25,
    "LEADS_SMTP_PORT": 26,
    "LEADS_S3_PORT": 30,
}


@pytest.fixture(scope="session")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """The stack, built and up. What a killed session of this checkout has left is taken away first."""
    if not engine_answers():
        pytest.fail("no Docker engine answers: start one, then run this again", pytrace=False)
    project = f"leads-e2e-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]}"
    base = free_base()
    variables = {name: str(base + offset) for name, offset in _PORTS.items()}
    options = ("--project-name", project, "--env-file", "deploy/compose/test.env")
    stack = ComposedStack(options, variables)
    try:
        running = RunningStack(stack, tmp_path_factory.mktemp("composed"))
        running.down()
        try:
            began = time.monotonic()
            running.compose("build")
            built = time.monotonic() - began
            seconds = running.up()
            print(f"built in {built:.1f} s, up in {seconds:.1f} s")  # noqa: T201 - shown by pytest -s
            yield running
        finally:
            if not os.environ.get("E2E_KEEP_HOME"):
                running.down()
    except StackError as error:
        pytest.fail(str(error), pytrace=False)
    if not os.environ.get("E2E_KEEP_HOME"):
        assert not _left(project), f"`docker compose down` left {_left(project)}"


def _left(project: str) -> list[str]:
    """Containers, volumes and networks that carry the project's label."""
    found: list[str] = []
    for what in ("container ls --all", "volume ls", "network ls"):
        command = ["docker", *what.split(), "--filter", f"label=com.docker.compose.project={project}"]
        done = subprocess.run([*command, "--quiet"], capture_output=True, text=True, check=True)  # noqa: S603 - ours
        found += [f"{what.split()[0]} {name}" for name in done.stdout.split()]
    return found
