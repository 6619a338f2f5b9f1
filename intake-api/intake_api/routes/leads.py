"""Leads: the public POST, and what staff read and change."""

import asyncio
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.responses import StreamingResponse

from intake_api import repository
from intake_api.etag import etag_of, require_match
from intake_api.exceptions import (
    FieldError,
    InvalidFieldsError,
    ResumeMissingError,
    ResumeQuarantinedError,
    ResumeWithdrawnError,
)
from intake_api.models import Submission
from intake_api.resume_safety_state import QUARANTINED, WITHDRAWN
from intake_api.routes.context import Client, LeadReader, LeadWriter, World
from intake_api.routes.recorded_attempt import recorded_attempt
from intake_api.routes.schemas import (
    LeadBody,
    LeadDetail,
    LeadPatch,
    SubmissionBody,
    SubmittedLead,
    TimelineBody,
    TimelineEntryBody,
    problems,
)
from intake_api.routes.submission_schema import SUBMISSION_SCHEMA
from intake_api.use_cases.change_lead import LeadChange, change_lead
from intake_api.use_cases.claim_key import hash_key
from intake_api.use_cases.register_lead import register_lead
from intake_api.use_cases.take_allowance import take_allowance
from intake_api.use_cases.use_receipt import mark_seen

router = APIRouter(prefix="/api/v1/leads", tags=["leads"])


_ETAG_HEADER = {"headers": {"ETag": {"description": "The state of the lead", "schema": {"type": "string"}}}}


@router.post(
    "",
    status_code=201,
    response_model=SubmittedLead,
    responses=problems(400, 408, 409, 413, 415, 422, 429, 503),
    openapi_extra=SUBMISSION_SCHEMA,
    summary="Submit a lead (public)",
)
async def post_lead(
    request: Request,
    response: Response,
    world: World,
    client: Client,
    idempotency_key: Annotated[
        str | None,
        Header(
            description="Makes a repeated request safe, for 24 hours: 1 to 255 printable ASCII characters",
            json_schema_extra={"pattern": r"^[\x21-\x7e]{1,255}$"},
            examples=["6e2f6c3e-1b7e-4a53-9d55-6c1a4b9d7f10"],
        ),
    ] = None,
) -> SubmittedLead:
    """Store a prospect's submission. 201 means that it is durable, resume and all."""
    form = world.form
    async with recorded_attempt(world, client) as attempt:
        key_hash = hash_key(idempotency_key) if idempotency_key is not None else None
        await take_allowance(world.sessions, form.per_client(attempt.client_hash))
        async with world.uploads.read(request) as submission, asyncio.timeout(world.settings.request_deadline):
            attempt.recipient_hash = form.hash_recipient(submission.email_key)
            suspicions = form.suspicions(submission)
            registered = await register_lead(
                world.sessions,
                world.store,
                world.scanner,
                world.settings,
                submission,
                key_hash,
                suspicions=suspicions,
                allowances=form.per_submission(submission),
            )
        attempt.outcome, attempt.status = registered.outcome, 201
        attempt.reasons = suspicions
    response.headers["Location"] = f"/api/v1/leads/{registered.lead_id}"
    if registered.is_replay:
        response.headers["Idempotency-Replayed"] = "true"
    return SubmittedLead.receipt(registered, world.receipt_signer)


@router.get("/{lead_id}", response_model=LeadDetail, responses={200: _ETAG_HEADER, **problems(401, 403, 404, 422)})
async def get_lead(world: World, caller: LeadReader, lead_id: UUID, response: Response) -> LeadDetail:
    """Show one lead and its submissions. Its ETag makes a change of it safe."""
    async with world.sessions() as session:
        lead = await repository.find_lead(session, lead_id, caller)
        submissions = await repository.submissions_of(session, lead_id)
    if caller.role is not None:
        await mark_seen(world.sessions, lead_id)
    response.headers["ETag"] = etag_of(lead)
    detail = LeadDetail.of(lead)
    detail.submissions = [SubmissionBody.of(row) for row in submissions]
    return detail


@router.patch(
    "/{lead_id}",
    response_model=LeadBody,
    responses={200: _ETAG_HEADER, **problems(401, 403, 404, 409, 412, 422)},
)
async def patch_lead(
    world: World,
    caller: LeadWriter,
    lead_id: UUID,
    patch: LeadPatch,
    response: Response,
    if_match: Annotated[
        str | None, Header(max_length=1000, description="ETags of the states that may be changed; none: any state")
    ] = None,
) -> LeadBody:
    """Change a lead's owner, status, or who reached out."""
    change = LeadChange(
        status=patch.status,
        reached_out_by=patch.reached_out_by,
        assigned_to=patch.assigned_to,
        changes_owner="assigned_to" in patch.model_fields_set,
    )
    lead = await change_lead(
        world.sessions, caller, lead_id, change, precondition=lambda lead: require_match(lead, if_match)
    )
    response.headers["ETag"] = etag_of(lead)
    return LeadBody.of(lead)


@router.get(
    "/{lead_id}/resume", response_class=StreamingResponse, responses=problems(401, 403, 404, 409, 410, 422, 503)
)
async def get_resume(
    world: World, caller: LeadReader, lead_id: UUID, submission: Annotated[UUID | None, Query()] = None
) -> Response:
    """Download the lead's resume: that of its first submission, or of the one named."""
    async with world.sessions() as session:
        await repository.find_lead(session, lead_id, caller)
        rows = await repository.submissions_of(session, lead_id)
    row = _chosen(rows, submission)
    if row.resume_state == WITHDRAWN:
        raise ResumeWithdrawnError
    if row.resume_state == QUARANTINED:
        raise ResumeQuarantinedError(row.resume_flags)
    content = await world.store.open(row.resume_key)
    if caller.role is not None:
        await mark_seen(world.sessions, lead_id, row.id)
    return StreamingResponse(
        content,
        media_type=row.resume_type,
        headers={
            "Content-Length": str(row.resume_size),
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(row.resume_filename)}",
            "Content-Security-Policy": "sandbox; default-src 'none'",
        },
    )


@router.get("/{lead_id}/timeline", response_model=TimelineBody, responses=problems(401, 403, 404, 422))
async def get_timeline(world: World, caller: LeadReader, lead_id: UUID) -> TimelineBody:
    """Tell what happened to a lead, oldest first."""
    async with world.sessions() as session:
        await repository.find_lead(session, lead_id, caller)
        entries = await repository.timeline_of(session, lead_id)
    return TimelineBody(items=[TimelineEntryBody.of(entry) for entry in entries])


def _chosen(rows: Sequence[Submission], submission: UUID | None) -> Submission:
    if submission is None:
        if not rows:
            raise ResumeMissingError  # its submissions were merged into another lead
        return rows[0]
    for row in rows:
        if row.id == submission:
            return row
    raise InvalidFieldsError([FieldError("submission", "names no submission of this lead")])
