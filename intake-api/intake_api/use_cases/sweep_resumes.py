"""Compare the resume store with the rows: orphan objects are swept, dangling rows are reported.

A crash between the PUT of a resume and its commit leaves an object without a row (never the reverse: the
object comes first). After a grace, longer than any request may take, such an object is removed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from prometheus_client import Counter, Gauge
from service_chassis import telemetry
from service_chassis.database import Sessions
from sqlalchemy import func, select

from intake_api.exceptions import StorageAwayError
from intake_api.models import Submission
from intake_api.resume_safety_state import WITHDRAWN
from intake_api.resume_store import ResumeStore

log = structlog.get_logger(__name__)

SWEPT = Counter("resume_orphans_swept_total", "Objects without a row that were removed")
DANGLING = Gauge("resume_dangling_rows", "Submissions whose object is gone")

PREFIX = "submissions/"


@dataclass(frozen=True)
class Swept:
    """What a sweep found: objects removed, and the submissions whose object is gone."""

    orphans: int
    dangling: tuple[str, ...]


async def sweep_resumes(sessions: Sessions, store: ResumeStore, grace: float) -> Swept:
    """Remove orphans older than ``grace`` seconds (database time) and name dangling rows of that age."""
    async with sessions() as session:
        now: datetime = (await session.execute(select(func.now()))).scalar_one()
        before = now - timedelta(seconds=grace)
    objects = {one.key: one.written_at for one in await store.list(PREFIX)}
    # Rows are read after the objects: an object seen here whose row commits meanwhile is found.
    async with sessions() as session:
        rows = (
            await session.execute(
                select(Submission.resume_key, Submission.received_at).where(Submission.resume_state != WITHDRAWN)
            )
        ).all()
    known = {key for key, _ in rows}
    orphans = [key for key, written_at in objects.items() if key not in known and written_at < before]
    dangling = tuple(sorted(key for key, received_at in rows if key not in objects and received_at < before))
    DANGLING.set(len(dangling))
    swept = await _delete(store, orphans)
    if orphans or dangling:
        log.warning(
            "resumes_swept",
            orphans=swept,
            orphans_left=len(orphans) - swept,
            dangling=len(dangling),
            first_dangling=dangling[:20],
        )
    return Swept(swept, dangling)


async def _delete(store: ResumeStore, keys: Sequence[str]) -> int:
    """Delete what can be; one that the store does not let go waits for the next sweep. Return how many are gone."""
    deleted = 0
    for key in keys:
        try:
            await store.delete(key)
        except StorageAwayError as error:
            log.warning("orphan_left", **telemetry.log_fields(error))
        else:
            SWEPT.inc()
            deleted += 1
    return deleted
