"""Everything intake-api holds of one person's lead, as a zip: JSON of the rows, and the resumes as they came.

The other services hold copies of name and address only, and what became of the mail, which the timeline tells.
"""

import asyncio
import json
import tempfile
import zipfile
from collections.abc import AsyncIterator, Sequence
from pathlib import PurePosixPath
from typing import IO, Any
from uuid import UUID

from service_chassis.database import Sessions
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from intake_api import repository
from intake_api.caller import Caller
from intake_api.exceptions import ResumeMissingError
from intake_api.models import Submission
from intake_api.resume_store import CHUNK_BYTES, ResumeStore
from intake_api.subject_data import rows_of_lead

INTERNAL = frozenset({"email_key", "resume_key", "trace_id", "occurrence", "event_id", "detail"})
"""Columns that tell of our machinery, or of other people: a timeline's detail explains a choice among attorneys."""

README = (
    "lead.json: everything stored about this lead, by table.\n"
    "resumes/: the documents as they were sent, named by submission.\n"
)


async def export_lead(sessions: Sessions, store: ResumeStore, caller: Caller, lead_id: UUID) -> IO[bytes]:
    """Write the zip to a temporary file and return it at its beginning; closing it removes it.

    A resume that is gone from the store is named in the JSON as missing. Raises LeadNotFoundError, StorageAwayError.
    """
    async with sessions() as session:
        await repository.find_lead(session, lead_id, caller)
        tables = await _rows(session, lead_id)
        submissions = await repository.submissions_of(session, lead_id)
    target: IO[bytes] = await asyncio.to_thread(tempfile.TemporaryFile)
    try:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            missing = await _add_resumes(archive, store, submissions)
            content = {"lead_id": str(lead_id), "missing_resumes": missing, **tables}
            archive.writestr("lead.json", json.dumps(content, indent=2, ensure_ascii=False, default=str))
            archive.writestr("README.txt", README)
        target.seek(0)
    except BaseException:
        target.close()
        raise
    return target


async def chunks_of(source: IO[bytes]) -> AsyncIterator[bytes]:
    """The file in chunks; it is closed at the end, or when the reader goes away."""
    try:
        while chunk := await asyncio.to_thread(source.read, CHUNK_BYTES):
            yield chunk
    finally:
        source.close()


async def _rows(session: AsyncSession, lead_id: UUID) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for table, condition in reversed(rows_of_lead(lead_id)):
        shown = [column for column in table.columns if column.name not in INTERNAL]
        rows = await session.execute(select(*shown).where(condition))
        found[table.name] = [dict(row) for row in rows.mappings()]
    return found


async def _add_resumes(archive: zipfile.ZipFile, store: ResumeStore, submissions: Sequence[Submission]) -> list[str]:
    missing = []
    for row in submissions:
        try:
            content = await store.open(row.resume_key)
        except ResumeMissingError:
            missing.append(str(row.id))
            continue
        # The name that was typed is not used as a path: only its ending, and that of one of the types we accept.
        suffix = PurePosixPath(row.resume_filename).suffix.lower()
        with archive.open(f"resumes/{row.id}{suffix if suffix[1:].isalnum() else ''}", "w") as entry:
            async for chunk in content:
                await asyncio.to_thread(entry.write, chunk)
    return missing
