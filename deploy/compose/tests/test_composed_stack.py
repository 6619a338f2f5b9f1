"""docker-compose.yml for real: the journey, scaled processes, a broker restart, a restart of everything, refusals.

Run by `make test-docker`, not by `make test`: it needs a Docker engine. Tests run in the order in which they stand.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
import httpx
import pytest
from e2e.documents import small_pdf

from deploy.compose.tests.running import RunningStack
from deploy.local.errors import StackError
from deploy.local.layout import ROOT

_PATIENCE = float(os.environ.get("E2E_PATIENCE", "1"))
_JOURNEY = ("test_journey.py", "test_bad_input.py", "test_same_address.py")


@pytest.fixture
def staff(composed: RunningStack) -> Iterator[httpx.Client]:
    admin: Any = composed.addresses.run_file()["admin"]
    with httpx.Client(base_url=composed.addresses.api_url, trust_env=False, timeout=30) as client:
        form = {"username": admin["email"], "password": admin["password"]}
        answer = client.post("/api/v1/auth/token", data=form)
        assert answer.status_code == 200, answer.text
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        yield client


def post(client: httpx.Client, email: str, resume: bytes = b"") -> str:
    """Post a lead; give its id."""
    encoded = base64.b64encode(resume or small_pdf()).decode()
    body = {"first_name": "John", "last_name": "Doe", "email": email, "resume": encoded}
    answer = client.post("/api/v1/leads", json=body)
    assert answer.status_code == 201, answer.text
    lead_id: str = answer.json()["id"]
    return lead_id


def eventually(look: Callable[[], Any], until: Callable[[Any], bool], within: float) -> Any:
    """Look until it is as wished; past the deadline fail with what was seen last."""
    ends = time.monotonic() + within * _PATIENCE
    while not until(seen := look()):
        assert time.monotonic() < ends, f"not within {within * _PATIENCE:g} s; last seen: {seen!r}"
        time.sleep(0.2)
    return seen


def status_of(client: httpx.Client, lead_id: str) -> str:
    status: str = client.get(f"/api/v1/leads/{lead_id}").json()["status"]
    return status


def reached(client: httpx.Client, leads: list[str], within: float) -> None:
    def unreached() -> dict[str, str]:
        found = {lead_id: status_of(client, lead_id) for lead_id in leads}
        return {lead_id: status for lead_id, status in found.items() if status != "reached_out"}

    eventually(unreached, lambda left: not left, within)


def mails(composed: RunningStack, containing: str) -> Counter[str]:
    """Addresses that got mail, as maildev lists it, and how many each."""
    listed = httpx.get(f"{composed.addresses.mail_page}/api/email", trust_env=False, timeout=30).json()
    return Counter(to["address"] for one in listed for to in one["envelope"]["to"] if containing in to["address"])


def ask(composed: RunningStack, database: str, question: str, *values: object) -> set[str]:
    """The texts that one query gives."""

    async def fetch() -> set[str]:
        connection = await asyncpg.connect(composed.addresses.settings()[f"{database}_DATABASE_URL"])
        try:
            return {str(row[0]) for row in await connection.fetch(question, *values)}
        finally:
            await connection.close()

    return asyncio.run(fetch())


def assert_each_mailed_once(composed: RunningStack, mark: str, people: list[str]) -> None:
    """Once, or more often where the mailer lists the delivery as ambiguous: a slow relay can make it so."""
    got = mails(composed, mark)
    ambiguous = ask(composed, "MAILER", "SELECT address FROM deliveries WHERE ambiguous")
    assert sorted(got) == sorted(people)
    assert {address for address, count in got.items() if count > 1} <= ambiguous


def journey(composed: RunningStack) -> None:
    """Run the end-to-end tests of the journey against the stack; none may be skipped."""
    tests = [f"tests-e2e/{name}" for name in _JOURNEY]
    done = subprocess.run(  # noqa: S603 - our own tests
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=ROOT,
        env={**os.environ, "E2E_RUN_JSON": str(composed.folder / "run.json")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(done.stdout)  # noqa: T201 - pytest shows it beside a failure
    assert done.returncode == 0, done.stdout
    assert re.search(r"\d+ passed", done.stdout)
    assert "skipped" not in done.stdout.splitlines()[-1]


def test_the_journey_holds(composed: RunningStack) -> None:
    journey(composed)


def test_the_journey_holds_with_four_assignment_workers_and_two_mailers(
    composed: RunningStack, staff: httpx.Client
) -> None:
    composed.up("--no-recreate", "--scale", "assignment-worker=4", "--scale", "mailer-worker=2")
    assert (composed.running("assignment-worker"), composed.running("mailer-worker")) == (4, 2)

    mark = uuid.uuid4().hex
    people = [f"{mark}.{number}@example.com" for number in range(40)]
    with ThreadPoolExecutor(10) as clients:
        leads = list(clients.map(lambda email: post(staff, email), people))

    reached(staff, leads, within=60)
    assert_each_mailed_once(composed, mark, people)
    chosen_by = "SELECT worker FROM assignments WHERE lead_id = ANY($1::uuid[])"
    assert len(ask(composed, "ASSIGNMENT", chosen_by, leads)) > 1
    journey(composed)


def test_rabbitmq_away_costs_no_lead(composed: RunningStack, staff: httpx.Client) -> None:
    composed.compose("stop", "rabbitmq")
    mark = uuid.uuid4().hex
    people = [f"{mark}.{number}@example.com" for number in range(5)]
    leads = [post(staff, email) for email in people]
    assert {status_of(staff, lead_id) for lead_id in leads} == {"registered"}

    composed.compose("start", "rabbitmq")

    reached(staff, leads, within=90)
    assert_each_mailed_once(composed, mark, people)


def test_a_process_that_dies_is_started_again(composed: RunningStack, staff: httpx.Client) -> None:
    """By its container's restart policy: a lead's status is written by the one intake-worker, which is killed here.

    Pid 1 is docker-init, so `kill -1` ends the process itself.
    """
    composed.compose("exec", "-T", "intake-worker", "python", "-c", "import os; os.kill(-1, 9)")

    lead_id = post(staff, f"{uuid.uuid4().hex}@example.com")

    reached(staff, [lead_id], within=60)


def test_data_outlives_the_containers(composed: RunningStack, staff: httpx.Client) -> None:
    resume = small_pdf("Kept.")
    lead_id = post(staff, f"{uuid.uuid4().hex}@example.com", resume)
    reached(staff, [lead_id], within=60)

    composed.compose("down")
    composed.up()

    assert status_of(staff, lead_id) == "reached_out"
    assert staff.get(f"/api/v1/leads/{lead_id}/resume").content == resume
    reached(staff, [post(staff, f"{uuid.uuid4().hex}@example.com")], within=60)


def test_processes_stop_in_order_when_told_to(composed: RunningStack) -> None:
    for service in ("intake-api", "intake-worker", "assignment-worker", "mailer-worker"):
        composed.compose("stop", service)
        rows = composed.compose("ps", "--all", "--format", "{{.State}} {{.ExitCode}}", service).splitlines()
        assert set(rows) == {"exited 0"}, service
    composed.up("--no-recreate")


@pytest.mark.parametrize("service", ["intake-api", "assignment-worker", "mailer-worker"])
def test_production_refuses_the_development_passwords(composed: RunningStack, service: str) -> None:
    with pytest.raises(StackError, match="production refuses"):
        composed.compose("run", "--rm", "--no-deps", "-T", "--env", "LEADS_ENVIRONMENT=production", service)


def test_images_hold_no_tests_and_no_root(composed: RunningStack) -> None:
    found = composed.compose(
        "exec",
        "-T",
        "intake-api",
        "sh",
        "-c",
        "id -u; find / -xdev -path '*leads*' -name .git 2>/dev/null; "
        "find /opt/leads /home/leads -name tests -path '*intake*' -o -name '*.env' -o -name '.local'",
    )
    assert found.split() == ["10001"]
