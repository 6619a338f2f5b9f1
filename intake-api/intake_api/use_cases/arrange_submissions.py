"""Staff put submissions where they belong: take one out into a lead of its own, or merge two leads."""

from uuid import UUID, uuid4

from service_chassis import outbox
from service_chassis.database import Sessions
from service_chassis.telemetry import current_trace_id
from shared_schemas.events import LeadClosed, LeadRegistered, OutreachCancelled
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from intake_api import audit, repository, timeline
from intake_api.caller import Caller
from intake_api.exceptions import (
    FieldError,
    IllegalMoveError,
    InvalidFieldsError,
    LeadNotFoundError,
    SubmissionNotFoundError,
    SubmissionNotMovableError,
)
from intake_api.lead_events import state_of
from intake_api.lead_status import OPEN, LeadStatus, staff_moves
from intake_api.models import Lead, Submission
from intake_api.use_cases.hold_lead import copy_hold
from intake_api.use_cases.release_lead import move_submissions


async def unlink_submission(sessions: Sessions, caller: Caller, lead_id: UUID, submission_id: UUID) -> Lead:
    """Make a lead of its own from one submission of a lead, and say LeadRegistered.

    Raises LeadNotFoundError, SubmissionNotFoundError; SubmissionNotMovableError for the submission that its lead
    was made from.
    """
    async with sessions.begin() as session:
        lead = await repository.lock_lead_and_address(session, lead_id)
        rows = await repository.submissions_of(session, lead_id)
        row = next((one for one in rows if one.id == submission_id), None)
        if row is None:
            raise SubmissionNotFoundError
        if row.id == rows[0].id:
            raise SubmissionNotMovableError
        fresh = await _lead_from(session, caller, row)
        detail = {"submission_id": str(row.id), "lead_id": str(fresh.id)}
        await timeline.record(session, lead.id, "submission.unlinked", actor=caller.actor, detail=detail)
        await audit.record_change(session, "unlink_submission", lead.id, actor=caller.actor, detail=detail, result=201)
    return fresh


async def _lead_from(session: AsyncSession, caller: Caller, row: Submission) -> Lead:
    fresh = Lead(
        id=uuid4(),
        first_name=row.first_name,
        last_name=row.last_name,
        email=row.email,
        email_key=row.email.lower(),
        practice_area=row.practice_area,
        language=row.language,
        status=LeadStatus.REGISTERED,
        epoch=0,
        decision=0,
        outreach_final=False,
        trace_id=current_trace_id(),
    )
    session.add(fresh)
    await session.flush()
    former = row.lead_id
    await copy_hold(session, former, fresh.id)
    row.lead_id = fresh.id
    event_id = await outbox.add(session, state_of(fresh, LeadRegistered), correlation_id=fresh.trace_id)
    await timeline.record(
        session,
        fresh.id,
        "lead.registered",
        actor=caller.actor,
        detail={"unlinked_from": str(former)},
        occurrence="lead.registered:0",
        event_id=str(event_id),
        at=fresh.created_at,
    )
    return fresh


async def merge_leads(sessions: Sessions, caller: Caller, source_id: UUID, target_id: UUID) -> Lead:
    """Give all submissions of an open or quarantined lead to another open lead, and discard it as merged.

    Returns the lead that has them now; a second time changes nothing. Raises LeadNotFoundError,
    InvalidFieldsError, IllegalMoveError.
    """
    if source_id == target_id:
        raise InvalidFieldsError([FieldError("into", "names the lead itself: name another one")])
    async with sessions.begin() as session:
        source, target = await _lock_both(session, source_id, target_id)
        if source.merged_into == target.id:
            return target
        if LeadStatus(source.status) not in OPEN | {LeadStatus.QUARANTINED}:
            raise _illegal(source, f"a lead that is {source.status} cannot be merged")
        if LeadStatus(target.status) not in OPEN:
            raise _illegal(target, f"a lead that is {target.status} takes no submissions")
        was_open = LeadStatus(source.status) in OPEN
        await move_submissions(session, caller, source, target)
        source.status = LeadStatus.DISCARDED
        source.merged_into = target.id
        source.waiting_reason = source.waiting_since = None
        if was_open:
            source.epoch += 1
            await session.flush()
            closed = LeadClosed(lead_id=source.id, epoch=source.epoch, decision_seen=source.decision)
            await outbox.add(session, closed, correlation_id=source.trace_id)
            # Whatever the status: a mail that staff asked for may still be on its way.
            cancelled = OutreachCancelled(lead_id=source.id, epoch=source.epoch, kind="welcome")
            await outbox.add(session, cancelled, correlation_id=source.trace_id)
        detail = {"merged_into": str(target.id), "epoch": source.epoch}
        await audit.record_change(session, "merge_leads", source.id, actor=caller.actor, detail=detail)
    return target


async def _lock_both(session: AsyncSession, source_id: UUID, target_id: UUID) -> tuple[Lead, Lead]:
    """Lock both addresses, then both rows, each in one order, so that two merges never wait for each other."""
    found = await session.execute(select(Lead.id, Lead.email_key).where(Lead.id.in_([source_id, target_id])))
    keys: dict[UUID, str] = {row.id: row.email_key for row in found}
    if source_id not in keys:
        raise LeadNotFoundError(source_id)
    if target_id not in keys:
        raise InvalidFieldsError([FieldError("into", "names no lead")])
    for email_key in sorted(set(keys.values())):
        await repository.lock_address(session, email_key)
    locked = {lead_id: await repository.lock_lead(session, lead_id) for lead_id in sorted(keys)}
    return locked[source_id], locked[target_id]


def _illegal(lead: Lead, detail: str) -> IllegalMoveError:
    moves = staff_moves(
        LeadStatus(lead.status), was_reached=lead.reached_at is not None, has_owner=lead.assigned_to is not None
    )
    return IllegalMoveError(detail, status=lead.status, legal=moves)
