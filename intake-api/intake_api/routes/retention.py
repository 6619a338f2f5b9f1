"""Retention: what is due by age, and erasing it now instead of at the next round."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from intake_api.lead_status import LeadStatus
from intake_api.routes.context import Admin, World
from intake_api.routes.schemas import problems
from intake_api.use_cases.apply_retention import apply_retention, find_due

router = APIRouter(prefix="/api/v1/retention", tags=["privacy"])


class DueBody(BaseModel):
    """The leads of a status that are past its days; a legal hold keeps ``held`` of them."""

    model_config = ConfigDict(from_attributes=True)

    status: LeadStatus
    days: int
    due: int
    held: int


class RetentionBody(BaseModel):
    """What a run would erase now, by status."""

    items: list[DueBody]


class Retained(BaseModel):
    """How many leads a run erased."""

    erased: int


@router.get("", response_model=RetentionBody, responses=problems(401, 403))
async def get_retention(world: World, _admin: Admin) -> RetentionBody:
    """Say what a run would erase now. Nothing is changed."""
    async with world.sessions() as session:
        due = await find_due(session, world.settings.retention_days)
    return RetentionBody(items=[DueBody.model_validate(one) for one in due])


@router.post("/run", response_model=Retained, responses=problems(401, 403))
async def post_retention_run(world: World, admin: Admin) -> Retained:
    """Erase what is due, as the periodic round does. Run twice, the second finds nothing."""
    return Retained(
        erased=await apply_retention(
            world.sessions, world.settings.retention_days, world.form.hash_recipient, actor=admin.actor
        )
    )
