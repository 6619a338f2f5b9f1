"""Scan resumes that were quarantined because the scanner was away, once it answers again."""

import tempfile
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import structlog
from service_chassis.database import Sessions
from sqlalchemy import select, tuple_, update

from intake_api.exceptions import ResumeMissingError
from intake_api.models import Submission
from intake_api.resume_safety_state import MALWARE, QUARANTINED, UNSCANNED, state_after
from intake_api.resume_store import ResumeStore
from intake_api.scanner import Scanner, Verdict
from intake_api.submission import SPOOL_BYTES

log = structlog.get_logger(__name__)

BATCH = 100


async def scan_quarantined(sessions: Sessions, store: ResumeStore, scanner: Scanner) -> int:
    """Scan them all, oldest first; stop when the scanner is away. Return how many got a verdict."""
    scanned = 0
    after: tuple[datetime, UUID] | None = None
    while batch := await _next_batch(sessions, after):
        for received_at, submission_id, key in batch:
            after = (received_at, submission_id)
            verdict = await _scan(store, scanner, key)
            if verdict is Verdict.UNKNOWN and not await scanner.is_up():
                return scanned
            if verdict is not None and verdict is not Verdict.UNKNOWN:
                await _settle(sessions, submission_id, key, verdict)
                scanned += 1
    return scanned


async def _next_batch(sessions: Sessions, after: tuple[datetime, UUID] | None) -> Sequence[tuple[datetime, UUID, str]]:
    wanted = (
        select(Submission.received_at, Submission.id, Submission.resume_key)
        .where(Submission.resume_state == QUARANTINED, Submission.resume_flags.contains([UNSCANNED]))
        .order_by(Submission.received_at, Submission.id)
        .limit(BATCH)
    )
    if after is not None:
        wanted = wanted.where(tuple_(Submission.received_at, Submission.id) > tuple_(*after))
    async with sessions() as session:
        return [(row.received_at, row.id, row.resume_key) for row in await session.execute(wanted)]


async def _scan(store: ResumeStore, scanner: Scanner, key: str) -> Verdict | None:
    with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as content:
        try:
            async for chunk in await store.open(key):
                content.write(chunk)
        except ResumeMissingError:
            return None  # reported by the sweep as dangling
        return await scanner.scan(content)  # type: ignore[arg-type]  # behaves as BinaryIO


async def _settle(sessions: Sessions, submission_id: UUID, key: str, verdict: Verdict) -> None:
    """Keep the verdict, unless the prospect has put another resume in the place of the one that was scanned."""
    async with sessions.begin() as session:
        row = await session.get(Submission, submission_id, with_for_update=True)
        if row is None or row.resume_key != key or UNSCANNED not in row.resume_flags:
            return
        flags = [flag for flag in row.resume_flags if flag != UNSCANNED]
        if verdict is Verdict.MALWARE:
            flags.append(MALWARE)
        await session.execute(
            update(Submission)
            .where(Submission.id == submission_id)
            .values(resume_flags=flags, resume_state=state_after(flags))
        )
    log.info("resume_scanned", submission_id=str(submission_id), verdict=verdict)
