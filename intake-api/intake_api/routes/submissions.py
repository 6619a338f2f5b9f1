"""Staff put submissions where they belong."""

from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict

from intake_api.routes.context import IntakeDesk, World
from intake_api.routes.schemas import LeadBody, problems
from intake_api.use_cases.arrange_submissions import merge_leads, unlink_submission

router = APIRouter(prefix="/api/v1/leads", tags=["leads"])


class MergeBody(BaseModel):
    """The open lead that takes all submissions."""

    model_config = ConfigDict(extra="forbid")

    into: UUID


@router.post(
    "/{lead_id}/submissions/{submission_id}/unlink",
    status_code=201,
    response_model=LeadBody,
    responses=problems(401, 403, 404, 409, 422),
)
async def post_unlink(
    world: World, caller: IntakeDesk, response: Response, lead_id: UUID, submission_id: UUID
) -> LeadBody:
    """Make a lead of its own from a submission that does not belong to this one."""
    fresh = await unlink_submission(world.sessions, caller, lead_id, submission_id)
    response.headers["Location"] = f"/api/v1/leads/{fresh.id}"
    return LeadBody.of(fresh)


@router.post("/{lead_id}/merge", response_model=LeadBody, responses=problems(401, 403, 404, 409, 422))
async def post_merge(world: World, caller: IntakeDesk, lead_id: UUID, body: MergeBody) -> LeadBody:
    """Give all submissions of this lead to another one, and discard this one as merged."""
    return LeadBody.of(await merge_leads(world.sessions, caller, lead_id, body.into))
