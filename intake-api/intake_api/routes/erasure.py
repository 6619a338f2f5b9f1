"""Erasing a lead, and the receipt that says when it is gone everywhere."""

from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict

from intake_api.erasure_models import Erasure, LegalHold
from intake_api.routes.context import Admin, World
from intake_api.routes.schemas import ShortText, problems
from intake_api.use_cases.erase_lead import erase_lead, find_erasure
from intake_api.use_cases.finish_erasures import HEARERS
from intake_api.use_cases.hold_lead import place_hold, release_hold

router = APIRouter(prefix="/api/v1", tags=["privacy"])


class ServiceAnswer(BaseModel):
    """When a service held nothing of the lead any more, and how many rows it deleted, by table."""

    at: datetime
    counts: dict[str, int]


class ErasureReceipt(BaseModel):
    """What was erased. ``waiting_for`` names who has not answered yet; ``objects_left`` counts resumes to delete."""

    lead_id: UUID
    status: Literal["open", "complete"]
    reason: str
    requested_by: str
    requested_at: datetime
    completed_at: datetime | None
    services: dict[str, ServiceAnswer]
    waiting_for: list[str]
    objects_deleted: int
    objects_left: int

    @classmethod
    def of(cls, erasure: Erasure) -> Self:
        """Encode a receipt."""
        answers: dict[str, Any] = erasure.answers
        return cls(
            lead_id=erasure.lead_id,
            status="complete" if erasure.completed_at else "open",
            reason=erasure.reason,
            requested_by=erasure.requested_by,
            requested_at=erasure.requested_at,
            completed_at=erasure.completed_at,
            services={name: ServiceAnswer(**answer) for name, answer in answers.items()},
            waiting_for=[name for name in HEARERS if name not in answers],
            objects_deleted=erasure.objects_deleted,
            objects_left=len(erasure.object_keys),
        )


class NewHold(BaseModel):
    """Why a lead must be kept: a matter or file number, nothing about the person."""

    model_config = ConfigDict(extra="forbid")

    reference: ShortText


class HoldBody(BaseModel):
    """A legal hold."""

    model_config = ConfigDict(from_attributes=True)

    lead_id: UUID
    reference: str
    placed_by: str
    placed_at: datetime

    @classmethod
    def of(cls, hold: LegalHold) -> Self:
        """Encode a hold."""
        return cls.model_validate(hold)


@router.delete(
    "/leads/{lead_id}",
    status_code=202,
    response_model=ErasureReceipt,
    responses=problems(401, 403, 404, 409, 422),
    summary="Erase a lead everywhere",
)
async def delete_lead(world: World, admin: Admin, lead_id: UUID, response: Response) -> ErasureReceipt:
    """Erase a person's data in every service, queue and store. Twice gives the same receipt."""
    erasure = await erase_lead(world.sessions, lead_id, actor=admin.actor, hash_recipient=world.form.hash_recipient)
    response.headers["Location"] = f"/api/v1/erasures/{lead_id}"
    return ErasureReceipt.of(erasure)


@router.get("/erasures/{lead_id}", response_model=ErasureReceipt, responses=problems(401, 403, 404, 422))
async def get_erasure(world: World, _admin: Admin, lead_id: UUID) -> ErasureReceipt:
    """Show the receipt: complete when the resumes are gone and every service has answered."""
    async with world.sessions() as session:
        return ErasureReceipt.of(await find_erasure(session, lead_id))


@router.put("/leads/{lead_id}/legal-hold", response_model=HoldBody, responses=problems(401, 403, 404, 422))
async def put_legal_hold(world: World, admin: Admin, lead_id: UUID, body: NewHold) -> HoldBody:
    """Keep a lead: neither erasure nor retention touches it until the hold is released."""
    return HoldBody.of(await place_hold(world.sessions, lead_id, body.reference, actor=admin.actor))


@router.delete("/leads/{lead_id}/legal-hold", status_code=204, responses=problems(401, 403, 404, 422))
async def delete_legal_hold(world: World, _admin: Admin, lead_id: UUID) -> Response:
    """Release a lead; one that is not held is left as it is."""
    await release_hold(world.sessions, lead_id)
    return Response(status_code=204)
