"""What a question may cost: PostgreSQL ends a statement after INTAKE_DATABASE_STATEMENT_TIMEOUT."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import DBAPIError

from intake_api.exceptions import QueryTooCostlyError

_QUERY_CANCELED = "57014"


@asynccontextmanager
async def bounded() -> AsyncIterator[None]:
    """Turn the end of a statement by its time limit into QueryTooCostlyError."""
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _QUERY_CANCELED:
            raise
        raise QueryTooCostlyError from error
