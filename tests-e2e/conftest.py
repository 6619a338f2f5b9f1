"""One stack for the whole session, clients for it, and a summary of the figures at the end.

`E2E_RUN_JSON=path` tests a stack that already runs, and starts none. `E2E_SEED=n` repeats the random instants of a
run. `E2E_PATIENCE=2` doubles every deadline. `E2E_KEEP_HOME=1` keeps a stack's folder, logs and all.
"""

import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from e2e.checker import Scenario
from e2e.clients import http_client, log_in
from e2e.mailboxes import Mailboxes, mailboxes_of
from e2e.stack import QUICK, SCALE, Stack, StackFailedError, own_stack, running_stack

# The short ones first; what loads the machine or leaves a backlog comes last.
ORDER = (
    "test_a_checker",
    "test_histories",
    "test_journey",
    "test_bad_input",
    "test_same_address",
    "test_planted_faults",
    "test_leadctl",
    "test_erasure",
    "test_prospect_link",
    "test_canary",
    "test_waiting",
    "test_outages",
    "test_sigterm",
    "test_kills",
    "test_uploads",
    "test_many_clients",
    "test_fairness",
)
_TWO_ATTEMPTS = {f"{service}_CONSUMER_MAX_ATTEMPTS": "2" for service in ("INTAKE", "ASSIGNMENT", "MAILER")}
"""A message that always fails is given up as after five attempts, fifteen seconds sooner."""
_FIGURES = pytest.StashKey[list[str]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put our files in the order above, behind everybody else's."""

    def place(item: pytest.Item) -> int:
        return 1 + ORDER.index(item.path.stem) if item.path.stem in ORDER else 0

    items.sort(key=place)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show what was measured."""
    figures = config.stash.get(_FIGURES, [])
    if figures:
        terminalreporter.section("end-to-end figures")
        for words in figures:
            terminalreporter.write_line(words)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The session's stack, or the one that E2E_RUN_JSON names."""
    given = os.environ.get("E2E_RUN_JSON")
    if given:
        yield running_stack(Path(given))
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: with teardown
    try:
        with own_stack("session", {**QUICK, **SCALE, **_TWO_ATTEMPTS}) as stack:
            yield stack
    except StackFailedError as error:
        pytest.fail(str(error), pytrace=False)
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Call it with words: they are in the test's output, and under the figures at the end of the session."""
    figures = request.config.stash.setdefault(_FIGURES, [])
    figures.append(request.node.name)

    def write(words: str) -> None:
        print(words)  # noqa: T201 - pytest shows it beside a failure
        figures.append(words)

    return write


@pytest.fixture
def chance(report: Callable[[str], None]) -> random.Random:
    """Random numbers whose seed is in the report."""
    seed = int(os.environ.get("E2E_SEED") or random.SystemRandom().randrange(10**6))
    report(f"  seed {seed}")
    return random.Random(seed)


@pytest_asyncio.fixture
async def scenario(stack: Stack, report: Callable[[str], None]) -> Scenario:
    """A quiet stack, a client log, and the checker at the end: `await scenario.verify()`."""
    return await Scenario.begin(stack, report)


@pytest_asyncio.fixture
async def public(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a login."""
    async with http_client(stack) as client:
        yield client


@pytest_asyncio.fixture
async def staff(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the admin's login."""
    async with http_client(stack) as client:
        client.headers["Authorization"] = f"Bearer {await log_in(client, stack)}"
        yield client


@pytest.fixture
def mailboxes(stack: Stack) -> Mailboxes:
    """Reads the mail that prospects got."""
    return mailboxes_of(stack)
