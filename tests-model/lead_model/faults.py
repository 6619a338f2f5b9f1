"""Deaths of a process at its k-th call of a port: a statement, a commit, the resume store, the mail relay.

Once dead, every further call of that process fails too, so that no clean-up can save what a real death would not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from service_chassis.database import Sessions
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session


class ProcessDiedError(BaseException):
    """The process is gone. No `Exception`: nothing in the product may survive it."""


class Mortality:
    """Counts the calls of ports, and ends the process that runs at the one that was asked for."""

    def __init__(self) -> None:
        self._left: int | None = None

    def call(self) -> None:
        """Note one call of a port; raises ProcessDiedError from the one asked for on."""
        if self._left is None:
            return
        if self._left == 0:
            raise ProcessDiedError
        self._left -= 1

    @contextmanager
    def dying_at(self, call: int | None) -> Iterator[None]:
        """Let what runs here die at its port call number ``call``, counted from 0; None: never."""
        self._left = call
        try:
            yield
        finally:
            self._left = None


def mortal_sessions(engine: AsyncEngine, mortality: Mortality) -> Sessions:
    """Sessions of a process that can die before any statement and any commit.

    A death after a commit is one at the next call: the answer to a client, an ack, another statement.
    """

    class MortalSession(Session):
        """A session of its own, so that no other hears these listeners."""

    def die(*_: Any) -> None:
        mortality.call()

    event.listen(engine.sync_engine, "before_cursor_execute", die)
    event.listen(MortalSession, "before_commit", die)
    return Sessions(engine, expire_on_commit=False, sync_session_class=MortalSession)
