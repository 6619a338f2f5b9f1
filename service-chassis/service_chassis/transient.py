"""Whose fault an error is: the message's, or a dependency's.

A dependency that is away never counts against a message (docs/design.md, Retry).
"""

import asyncio
from collections.abc import Iterator

import asyncpg
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

_AWAY_CLASSES = ("08", "53")
_LOCK_NOT_FREE = "55P03"
"""The lock's holder is slow, or its process is gone and PostgreSQL does not know yet: no fault of who waited."""
_AWAY_CODES = frozenset({"57P01", "57P02", "57P03", "25006", "25P03", "25P04", _LOCK_NOT_FREE})
_COLLISIONS = frozenset({"40001", "40P01"})
_STATEMENT_CANCELLED = "57014"
_DRIVER_PACKAGES = frozenset({"sqlalchemy", "asyncpg"})
"""Every error of the database is raised at the same few lines of these, which tell nobody anything."""
_AWAY_TYPES = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    # What asyncpg says, more often than not, on a connection that the server has just ended.
    asyncpg.InternalClientError,
    InterfaceError,
    PoolTimeoutError,
)


class HandlerDeadlineError(Exception):
    """A handler took longer than it may: the message's fault, unless the database does not answer either."""


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        current = pending.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        pending.extend((current.__cause__, getattr(current, "orig", None)))


def sqlstates(error: BaseException) -> frozenset[str]:
    """Every SQLSTATE found in the error and what caused it."""
    return frozenset(state for link in _chain(error) if isinstance(state := getattr(link, "sqlstate", None), str))


def is_dependency_away(error: BaseException) -> bool:
    """Whether the error says that a dependency is away (network, start-up, shutdown, resources, locks)."""
    states = sqlstates(error)
    if any(state.startswith(_AWAY_CLASSES) or state in _AWAY_CODES for state in states):
        return True
    if states and not isinstance(error, OperationalError):
        return False
    return any(isinstance(link, _AWAY_TYPES) for link in _chain(error))


def is_collision(error: BaseException) -> bool:
    """Whether the transaction lost against another (deadlock, serialization) and may simply be tried again."""
    return bool(sqlstates(error) & _COLLISIONS)


def is_statement_cancelled(error: BaseException) -> bool:
    """Whether PostgreSQL ended a statement for its time.

    That is the statement's fault or the link's: the clock starts at the driver's Parse and is stopped only by its
    Sync, so it also runs while a link is silent between the two, and strikes when the driver is heard again.
    """
    return _STATEMENT_CANCELLED in sqlstates(error)


def error_type(error: BaseException) -> str:
    """The error's class, with what the database said where it did: ``IntegrityError:23505``."""
    return ":".join([type(error).__name__, *sorted(sqlstates(error))])


def error_place(error: BaseException) -> str:
    """Where an error was raised, outside of the database driver, as ``module:line``.

    This, and never its text, may be logged.
    """
    frame = error.__traceback__
    place = "unknown"
    while frame is not None:
        module = str(frame.tb_frame.f_globals.get("__name__", "?"))
        if place == "unknown" or module.partition(".")[0] not in _DRIVER_PACKAGES:
            place = f"{module}:{frame.tb_lineno}"
        frame = frame.tb_next
    return place


def is_cancelled_by_us(task: "asyncio.Task[object] | None") -> bool:
    """Whether a CancelledError is a real cancel of this task, not one leaking from a dying AMQP link."""
    return bool(task and task.cancelling())
