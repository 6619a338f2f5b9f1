"""Every attempt to submit goes into the capture log, whatever comes of it."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from intake_api.exceptions import InvalidFieldsError, LimitReachedError
from intake_api.problems import status_of
from intake_api.routes.context import Outside
from intake_api.use_cases.record_attempt import Attempt, record_attempt

SHARED_ROW_S = 60
"""Refusals of one client by one cap within so many seconds share a row: a flood must not fill the log."""


@asynccontextmanager
async def recorded_attempt(world: Outside, client: str) -> AsyncIterator[Attempt]:
    """Record what comes of an attempt, whether the block sets its outcome or raises."""
    attempt = Attempt(client_hash=world.form.hash_client(client))
    try:
        yield attempt
    except Exception as error:
        _describe(attempt, error)
        raise
    finally:
        await record_attempt(world.sessions, attempt)


def _describe(attempt: Attempt, error: Exception) -> None:
    attempt.status = status_of(error)
    attempt.outcome = "refused" if attempt.status < 500 else "failed"
    attempt.reasons = (type(error).__name__,)
    if isinstance(error, InvalidFieldsError):
        attempt.reasons = tuple(sorted({one.field for one in error.errors}))
    elif isinstance(error, LimitReachedError):
        attempt.outcome, attempt.reasons = "limited", (error.scope,)
        attempt.occurrence = f"limited:{error.scope}:{attempt.client_hash}:{int(time.time()) // SHARED_ROW_S}"
