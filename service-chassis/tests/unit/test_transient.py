"""Whose fault an error is, by docs/design.md, Retry."""

import errno

import asyncpg
import pytest
from service_chassis.transient import (
    error_place,
    error_type,
    is_collision,
    is_dependency_away,
    is_statement_cancelled,
    sqlstates,
)
from sqlalchemy.exc import DBAPIError, IntegrityError, InternalError, OperationalError
from sqlalchemy.exc import InterfaceError as AlchemyInterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

AWAY = [
    asyncpg.PostgresConnectionError,  # 08000
    asyncpg.ConnectionDoesNotExistError,  # 08003
    asyncpg.ConnectionFailureError,  # 08006
    asyncpg.CannotConnectNowError,  # 57P03
    asyncpg.AdminShutdownError,  # 57P01
    asyncpg.CrashShutdownError,  # 57P02
    asyncpg.InsufficientResourcesError,  # 53000
    asyncpg.DiskFullError,  # 53100
    asyncpg.OutOfMemoryError,  # 53200
    asyncpg.TooManyConnectionsError,  # 53300
    asyncpg.ReadOnlySQLTransactionError,  # 25006: a primary that became a replica
    asyncpg.LockNotAvailableError,  # 55P03: whoever holds the lock is slow or gone
]
NOT_AWAY = [
    asyncpg.QueryCanceledError,  # 57014: a statement that took too long is ours to mend
    asyncpg.DatabaseDroppedError,  # 57P04
    asyncpg.UniqueViolationError,
    asyncpg.CheckViolationError,
    asyncpg.NumericValueOutOfRangeError,
    asyncpg.CharacterNotInRepertoireError,  # a NUL byte in a text
    asyncpg.UndefinedTableError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
]


def wrapped(error: Exception, kind: type[DBAPIError] = DBAPIError) -> DBAPIError:
    """The error as SQLAlchemy hands it on."""
    outer = kind("SELECT 1", {}, error)
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize("kind", AWAY, ids=lambda kind: f"{kind.__name__}-{kind.sqlstate}")
def test_a_database_that_is_away_is_not_the_messages_fault(kind: type[asyncpg.PostgresError]) -> None:
    for error in (kind("x"), wrapped(kind("x")), wrapped(kind("x"), OperationalError)):
        assert is_dependency_away(error)
        assert not is_collision(error)


@pytest.mark.parametrize("kind", NOT_AWAY, ids=lambda kind: f"{kind.__name__}-{kind.sqlstate}")
def test_an_answer_of_the_database_is_not_its_absence(kind: type[asyncpg.PostgresError]) -> None:
    for error in (kind("x"), wrapped(kind("x")), wrapped(kind("x"), OperationalError)):
        assert not is_dependency_away(error)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        ConnectionResetError(),
        OSError(errno.EHOSTUNREACH, "no route"),
        TimeoutError(),
        asyncpg.InterfaceError("connection is closed"),
        wrapped(asyncpg.InterfaceError("connection is closed"), AlchemyInterfaceError),
        asyncpg.InternalClientError("cannot switch to state 11; another operation (2) is in progress"),
        wrapped(asyncpg.InternalClientError("cannot switch to state 11"), InternalError),
        wrapped(ConnectionResetError()),
        PoolTimeoutError(),
    ],
    ids=repr,
)
def test_network_and_pool_errors_are_a_dependency_away(error: Exception) -> None:
    assert is_dependency_away(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        KeyError("x"),
        RuntimeError("x"),
        wrapped(asyncpg.UniqueViolationError("x"), IntegrityError),
        asyncpg.DataError("value out of int32 range"),
        wrapped(asyncpg.DataError("value out of int32 range"), AlchemyInterfaceError),
    ],
    ids=repr,
)
def test_every_other_error_counts_against_the_message(error: Exception) -> None:
    assert not is_dependency_away(error)


def test_what_caused_an_error_decides() -> None:
    outer = RuntimeError("the handler's own words")
    outer.__cause__ = asyncpg.AdminShutdownError("x")
    assert is_dependency_away(outer)


def test_what_was_merely_being_handled_does_not_decide() -> None:
    outer = RuntimeError("x")
    outer.__context__ = ConnectionResetError()
    assert not is_dependency_away(outer)


@pytest.mark.parametrize("kind", [asyncpg.DeadlockDetectedError, asyncpg.SerializationError])
def test_lost_against_another_transaction(kind: type[asyncpg.PostgresError]) -> None:
    assert is_collision(kind("x"))
    assert is_collision(wrapped(kind("x")))
    assert sqlstates(wrapped(kind("x"))) == {kind.sqlstate}


def test_a_statement_ended_for_its_time_is_told_from_other_answers() -> None:
    assert is_statement_cancelled(wrapped(asyncpg.QueryCanceledError("x")))
    assert not is_statement_cancelled(wrapped(asyncpg.LockNotAvailableError("x")))


def test_the_type_of_an_error_tells_what_the_database_said() -> None:
    assert error_type(wrapped(asyncpg.QueryCanceledError("x"))) == "DBAPIError:57014"
    assert error_type(ValueError("x")) == "ValueError"


def test_a_chain_that_bites_its_tail_ends() -> None:
    one, other = RuntimeError("1"), RuntimeError("2")
    one.__cause__, other.__cause__ = other, one
    assert not is_dependency_away(one)


def test_the_place_of_an_error_is_its_innermost_line_and_never_its_text() -> None:
    def fail() -> None:
        raise ValueError("CANARY")

    with pytest.raises(ValueError, match="CANARY") as caught:
        fail()
    place = error_place(caught.value)
    assert place.rpartition(":")[0].endswith("test_transient")
    assert int(place.rpartition(":")[2]) == fail.__code__.co_firstlineno + 1
    assert "CANARY" not in place
    assert error_place(ValueError("never raised")) == "unknown"
