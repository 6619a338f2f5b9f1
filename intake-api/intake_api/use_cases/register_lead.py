"""Register a lead: the promise of the product starts here.

201 means that lead, submission, resume object and LeadRegistered (as an outbox row) are durable
(docs/design.md, invariant 1): the resume first, then everything else in one commit. A submission of an address whose
lead is open joins that lead: kept with its resume, no second mail, no field overwritten. A suspect submission is
stored as a quarantined lead of its own, of which nobody hears until staff release it; its public answer is the same.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID, uuid4

import structlog
from service_chassis import outbox
from service_chassis.database import Sessions
from service_chassis.telemetry import current_trace_id
from shared_schemas.events import LeadRegistered
from sqlalchemy import func
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from intake_api import repository, timeline
from intake_api.lead_events import state_of
from intake_api.lead_status import LeadStatus
from intake_api.models import Lead, Submission
from intake_api.resume_safety_state import flags_after, state_after
from intake_api.resume_store import ResumeStore
from intake_api.scanner import Scanner
from intake_api.settings import IntakeSettings
from intake_api.submission import NewSubmission
from intake_api.use_cases.claim_key import Claim, Replay, claim_key, finish_key, release_key
from intake_api.use_cases.take_allowance import Allowance, Taken, give_back, take_allowance

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Registered:
    """The public answer: what was just typed and this submission's time, never the lead's own state.

    ``outcome`` (registered, joined, quarantined, replayed) is for the capture log and not for the public.
    """

    lead_id: UUID
    submission_id: UUID
    first_name: str
    last_name: str
    email: str
    received_at: datetime
    outcome: str

    @property
    def is_replay(self) -> bool:
        """Whether this is the answer of an earlier request with the same key."""
        return self.outcome == "replayed"


async def register_lead(
    sessions: Sessions,
    store: ResumeStore,
    scanner: Scanner,
    settings: IntakeSettings,
    submission: NewSubmission,
    key_hash: str | None,
    *,
    suspicions: Sequence[str] = (),
    allowances: Sequence[Allowance] = (),
) -> Registered:
    """Store a submission durably and say LeadRegistered when it made a lead.

    With ``key_hash`` the work is done once per key; ``suspicions`` put it into quarantine; ``allowances`` are used
    when there is work to do, not for a repeated request, and given back when it fails. Raises
    IdempotencyKeyInUseError, IdempotencyKeyReusedError, LimitReachedError, StorageAwayError.
    """
    claim: Claim | None = None
    if key_hash is not None:
        claimed = await claim_key(
            sessions,
            key_hash,
            submission.fingerprint(),
            lease=settings.idempotency_lease,
            lifetime=settings.idempotency_lifetime,
        )
        if isinstance(claimed, Replay):
            return await _replay(sessions, claimed)
        claim = claimed
    taken: list[Taken] = []
    try:
        taken = await take_allowance(sessions, allowances)
        flags = flags_after(await scanner.scan(submission.resume.content), submission.resume.flags)
        return await _store(sessions, store, settings, submission, claim, flags, suspicions)
    except BaseException:
        if taken:
            with contextlib.suppress(SQLAlchemyError, OSError):  # the window ends by itself
                await give_back(sessions, taken)
        if claim is not None:
            with contextlib.suppress(SQLAlchemyError, OSError):  # the lease ends by itself
                await release_key(sessions, claim)
        raise


async def _store(
    sessions: Sessions,
    store: ResumeStore,
    settings: IntakeSettings,
    submission: NewSubmission,
    claim: Claim | None,
    flags: Sequence[str],
    suspicions: Sequence[str],
) -> Registered:
    submission_id = uuid4()
    resume = submission.resume
    resume_key = f"submissions/{submission_id}"
    await store.put(resume_key, resume.content, resume.size, resume.media_type)
    async with sessions.begin() as session:
        await repository.lock_address(session, submission.email_key)
        lead, outcome = await _lead_of(session, submission, settings.same_lead_window_days, suspicions)
        details = submission.details
        row = Submission(
            id=submission_id,
            lead_id=lead.id,
            first_name=submission.first_name,
            last_name=submission.last_name,
            email=submission.email,
            resume_key=resume_key,
            resume_sha256=resume.sha256,
            resume_size=resume.size,
            resume_type=resume.media_type,
            resume_filename=resume.filename,
            resume_state=state_after(flags),
            resume_flags=list(flags),
            **asdict(details),
            consent_at=func.now() if details.consent_version else None,
        )
        session.add(row)
        await session.flush()
        if outcome == "joined":
            await timeline.record(
                session,
                lead.id,
                "submission.joined",
                actor="prospect",
                detail={"submission_id": str(submission_id)},
                occurrence=f"submission:{submission_id}",
            )
        if claim is not None:
            await finish_key(session, claim, submission_id)
    log.info("lead_submitted", lead_id=str(lead.id), submission_id=str(submission_id), outcome=outcome)
    return _answer(row, outcome)


async def _lead_of(
    session: AsyncSession, submission: NewSubmission, window_days: int, suspicions: Sequence[str]
) -> tuple[Lead, str]:
    """The lead that the submission belongs to, made if need be, and what came of it. The address is locked."""
    if suspicions:
        return await _quarantined_lead(session, submission, suspicions), "quarantined"
    lead = await repository.lock_lead_to_join(session, submission.email_key, window_days)
    if lead is not None:
        return lead, "joined"
    return await _registered_lead(session, submission), "registered"


def _lead(submission: NewSubmission, status: LeadStatus, suspicions: Sequence[str] = ()) -> Lead:
    return Lead(
        id=uuid4(),
        first_name=submission.first_name,
        last_name=submission.last_name,
        email=submission.email,
        email_key=submission.email_key,
        practice_area=submission.details.practice_area,
        language=submission.details.language,
        status=status,
        quarantine_reasons=list(suspicions),
        epoch=0,
        decision=0,
        outreach_final=False,
        trace_id=current_trace_id(),
    )


async def _quarantined_lead(session: AsyncSession, submission: NewSubmission, suspicions: Sequence[str]) -> Lead:
    lead = _lead(submission, LeadStatus.QUARANTINED, suspicions)
    session.add(lead)
    await session.flush()
    await timeline.record(
        session,
        lead.id,
        "lead.quarantined",
        actor="prospect",
        detail={"reasons": list(suspicions)},
        occurrence="lead.quarantined:0",
        at=lead.created_at,
    )
    return lead


async def _registered_lead(session: AsyncSession, submission: NewSubmission) -> Lead:
    keep = await repository.former_owner(session, submission.email_key)
    lead = _lead(submission, LeadStatus.REGISTERED)
    session.add(lead)
    await session.flush()
    event_id = await outbox.add(
        session, state_of(lead, LeadRegistered, keep_attorney_id=keep), correlation_id=lead.trace_id
    )
    await timeline.record(
        session,
        lead.id,
        "lead.registered",
        actor="prospect",
        detail={},
        occurrence="lead.registered:0",
        event_id=str(event_id),
        at=lead.created_at,
    )
    return lead


async def _replay(sessions: Sessions, replay: Replay) -> Registered:
    async with sessions() as session:
        row = await session.get_one(Submission, replay.submission_id)
    return _answer(row, "replayed")


def _answer(row: Submission, outcome: str) -> Registered:
    return Registered(
        lead_id=row.lead_id,
        submission_id=row.id,
        first_name=row.first_name,
        last_name=row.last_name,
        email=row.email,
        received_at=row.received_at,
        outcome=outcome,
    )
