"""The capture log: every attempt to submit, with its outcome and reason, and nothing that was typed."""

from dataclasses import dataclass, field
from uuid import uuid4

import structlog
from prometheus_client import Counter
from service_chassis.database import Sessions
from service_chassis.telemetry import current_trace_id, log_fields
from sqlalchemy import func, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from intake_api.form_models import CaptureAttempt

log = structlog.get_logger(__name__)

ATTEMPTS = Counter("submission_attempts_total", "Attempts to submit a lead", ["outcome"])

OUTCOMES = ("registered", "joined", "quarantined", "replayed", "refused", "limited", "failed")
_A_ROW_MAY_BE_LOST = text("SET LOCAL synchronous_commit = off")


@dataclass
class Attempt:
    """An attempt while it runs. ``reasons`` are field names, problem types or rules; hashes have a key."""

    client_hash: str
    recipient_hash: str | None = None
    outcome: str = "failed"
    status: int = 500
    reasons: tuple[str, ...] = ()
    occurrence: str = field(default_factory=lambda: str(uuid4()))


async def record_attempt(sessions: Sessions, attempt: Attempt) -> None:
    """Add the attempt to the log. With the database away it is counted and logged only: the answer stands."""
    ATTEMPTS.labels(attempt.outcome).inc()
    row = insert(CaptureAttempt).values(
        occurrence=attempt.occurrence,
        outcome=attempt.outcome,
        status=attempt.status,
        reasons=list(attempt.reasons),
        client_hash=attempt.client_hash,
        recipient_hash=attempt.recipient_hash,
        trace_id=current_trace_id(),
    )
    repeated = row.on_conflict_do_update(
        index_elements=["occurrence"], set_={"times": CaptureAttempt.times + 1, "last_at": func.now()}
    )
    try:
        async with sessions.begin() as session:
            await session.execute(_A_ROW_MAY_BE_LOST)
            await session.execute(repeated)
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        log.warning("attempt_not_recorded", outcome=attempt.outcome, **log_fields(error))
