"""Asking for a mail, and asking why an attorney has a lead."""

from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel

from intake_api.routes.context import LeadReader, LeadWriter, World
from intake_api.routes.schemas import problems
from intake_api.use_cases.explain_assignment import Assignment, explain_assignment
from intake_api.use_cases.request_outreach import request_outreach

router = APIRouter(prefix="/api/v1/leads", tags=["leads"])


class OutreachRequestBody(BaseModel):
    """A mail was asked for; the lead's timeline tells what becomes of it."""

    request_id: UUID


@router.post(
    "/{lead_id}/outreach",
    status_code=202,
    response_model=OutreachRequestBody,
    responses=problems(401, 403, 404, 409, 422),
)
async def post_outreach(world: World, caller: LeadWriter, lead_id: UUID) -> OutreachRequestBody:
    """Send the welcome mail (again): a failed one is tried again, a waiting one now, a sent one a second time.

    A mail whose sending the lead does not tell yet is not sent twice: the request has it told.
    """
    return OutreachRequestBody(request_id=await request_outreach(world.sessions, caller, lead_id))


@router.get("/{lead_id}/assignment", response_model=Assignment, responses=problems(401, 403, 404, 422))
async def get_assignment(world: World, caller: LeadReader, lead_id: UUID) -> Assignment:
    """Tell who has the lead and why: who could have had it, with how much work, and who could not."""
    return await explain_assignment(world.sessions, caller, lead_id)
