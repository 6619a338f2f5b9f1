"""What a prospect does with the private link of a submission: look, replace or withdraw the resume, revoke the link.

Of the lead they learn nothing but whether somebody has seen this submission: anyone may have typed their address.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

import structlog
from service_chassis.database import Sessions
from sqlalchemy import exists, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from intake_api import repository, timeline
from intake_api.erasure_models import LegalHold
from intake_api.exceptions import ReceiptNotFoundError, ResumeKeptError, StorageAwayError
from intake_api.models import Submission
from intake_api.receipt_link import ReceiptLink
from intake_api.receipt_models import FIRST_SERIAL, Receipt
from intake_api.resume_safety_state import WITHDRAWN, flags_after, state_after
from intake_api.resume_store import ResumeStore
from intake_api.scanner import Scanner
from intake_api.submission import Resume

log = structlog.get_logger(__name__)

ACTOR = "prospect"


@dataclass(frozen=True)
class ReceiptState:
    """A submission as its prospect sees it. ``resume_filename`` is None once the resume is withdrawn."""

    submission_id: UUID
    received_at: datetime
    is_seen: bool
    resume_filename: str | None


async def read_receipt(sessions: Sessions, link: ReceiptLink) -> ReceiptState:
    """Look. Raises ReceiptNotFoundError."""
    async with sessions() as session:
        return await _state(session, link, await _find(session, link))


async def replace_resume(
    sessions: Sessions, store: ResumeStore, scanner: Scanner, link: ReceiptLink, resume: Resume
) -> ReceiptState:
    """Put another document in the resume's place. Raises ReceiptNotFoundError, ResumeKeptError, StorageAwayError."""
    await read_receipt(sessions, link)
    flags = flags_after(await scanner.scan(resume.content), resume.flags)
    key = f"submissions/{link.submission_id}.{uuid4().hex}"
    await store.put(key, resume.content, resume.size, resume.media_type)
    async with sessions.begin() as session:
        row = await _lock(session, link)
        former = row.resume_key
        row.resume_key, row.resume_sha256, row.resume_size = key, resume.sha256, resume.size
        row.resume_type, row.resume_filename = resume.media_type, resume.filename
        row.resume_flags, row.resume_state = flags, state_after(flags)
        await _record(session, row, "submission.resume-replaced")
        await session.flush()
        state = await _state(session, link, row)
    await _delete(store, former)
    return state


async def withdraw_resume(sessions: Sessions, store: ResumeStore, link: ReceiptLink) -> None:
    """Take the resume away; again has no effect. Raises ReceiptNotFoundError, ResumeKeptError, StorageAwayError."""
    async with sessions.begin() as session:
        row = await _lock(session, link)
        key = row.resume_key
        if row.resume_state != WITHDRAWN:
            row.resume_state, row.resume_flags, row.resume_filename = WITHDRAWN, [], WITHDRAWN
            await _record(session, row, "submission.resume-withdrawn")
    await _delete(store, key)


async def revoke_link(sessions: Sessions, link: ReceiptLink) -> None:
    """Make the link worth nothing. Raises ReceiptNotFoundError."""
    async with sessions.begin() as session:
        row = await _lock(session, link, may_be_held=True)
        fresh = insert(Receipt).values(submission_id=row.id, serial=link.serial + 1)
        await session.execute(
            fresh.on_conflict_do_update(index_elements=["submission_id"], set_={"serial": fresh.excluded.serial})
        )
        await _record(session, row, "submission.link-revoked")


async def mark_seen(sessions: Sessions, lead_id: UUID, submission_id: UUID | None = None) -> None:
    """A person has seen the submissions of the lead, or this one. Only the first time is written."""
    unseen = (
        select(Submission.id, func.now())
        .outerjoin(Receipt, Receipt.submission_id == Submission.id)
        .where(Submission.lead_id == lead_id, Receipt.seen_at.is_(None))
        .with_for_update(of=Submission, key_share=True)
    )
    if submission_id is not None:
        unseen = unseen.where(Submission.id == submission_id)
    fresh = insert(Receipt).from_select(["submission_id", "seen_at"], unseen)
    async with sessions.begin() as session:
        await session.execute(
            fresh.on_conflict_do_update(index_elements=["submission_id"], set_={"seen_at": fresh.excluded.seen_at})
        )


async def _delete(store: ResumeStore, key: str) -> None:
    """Delete an object that no row names any more; with the store away the sweep does it later."""
    try:
        await store.delete(key)
    except StorageAwayError:
        log.warning("resume_left_to_the_sweep", key=key)


async def _find(session: AsyncSession, link: ReceiptLink) -> Submission:
    row = await session.get(Submission, link.submission_id, populate_existing=True)
    receipt = await session.get(Receipt, link.submission_id, populate_existing=True)
    if row is None or link.serial != (receipt.serial if receipt else FIRST_SERIAL):
        raise ReceiptNotFoundError
    return row


async def _lock(session: AsyncSession, link: ReceiptLink, *, may_be_held: bool = False) -> Submission:
    """Lock the lead, as every change of it does, then find the submission in it."""
    row = await _find(session, link)
    await repository.lock_lead_and_address(session, row.lead_id)
    row = await _find(session, link)
    if not may_be_held and await session.scalar(select(exists().where(LegalHold.lead_id == row.lead_id))):
        raise ResumeKeptError
    return row


async def _state(session: AsyncSession, link: ReceiptLink, row: Submission) -> ReceiptState:
    seen_at = await session.scalar(select(Receipt.seen_at).where(Receipt.submission_id == row.id))
    return ReceiptState(
        submission_id=link.submission_id,
        received_at=row.received_at,
        is_seen=seen_at is not None,
        resume_filename=None if row.resume_state == WITHDRAWN else row.resume_filename,
    )


async def _record(session: AsyncSession, row: Submission, type_: str) -> None:
    detail = {"submission_id": str(row.id)}
    await timeline.record(session, row.lead_id, type_, actor=ACTOR, detail=detail)
