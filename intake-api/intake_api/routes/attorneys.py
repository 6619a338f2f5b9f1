"""Attorneys: who there is, whether they take leads, and how much they have."""

from typing import Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Response
from sqlalchemy import select

from intake_api import repository
from intake_api.models import Attorney
from intake_api.routes.context import Admin, AttorneyReader, World
from intake_api.routes.schemas import AbsenceBody, AttorneyBody, AttorneyList, AttorneyPatch, NewAttorney, problems
from intake_api.use_cases.change_attorney import AttorneyDetails, add_attorney, change_attorney

router = APIRouter(prefix="/api/v1/attorneys", tags=["attorneys"])


def _stored(absences: list[AbsenceBody]) -> list[dict[str, Any]]:
    return [
        {
            "id": str(absence.id or uuid4()),
            "starts_at": absence.starts_at.isoformat(),
            "ends_at": absence.ends_at.isoformat(),
        }
        for absence in absences
    ]


@router.get("", response_model=AttorneyList, responses=problems(401, 403))
async def get_attorneys(world: World, _caller: AttorneyReader) -> AttorneyList:
    """List all attorneys with their open leads."""
    async with world.sessions() as session:
        attorneys = (await session.scalars(select(Attorney).order_by(Attorney.name, Attorney.id))).all()
        loads = await repository.open_leads_by_owner(session)
    return AttorneyList(items=[AttorneyBody.of(one, loads.get(one.id, 0)) for one in attorneys])


@router.post("", status_code=201, response_model=AttorneyBody, responses=problems(401, 403, 409, 422))
async def post_attorney(world: World, _admin: Admin, body: NewAttorney, response: Response) -> AttorneyBody:
    """Add an attorney: they get leads from now on."""
    details = AttorneyDetails(
        name=body.name,
        email=body.email,
        available=body.available,
        capacity=body.capacity,
        practice_areas=body.practice_areas,
        languages=body.languages,
        absences=_stored(body.absences),
    )
    attorney = await add_attorney(world.sessions, details)
    response.headers["Location"] = f"/api/v1/attorneys/{attorney.id}"
    return AttorneyBody.of(attorney, 0)


@router.get("/{attorney_id}", response_model=AttorneyBody, responses=problems(401, 403, 404, 422))
async def get_attorney(world: World, _caller: AttorneyReader, attorney_id: UUID) -> AttorneyBody:
    """Show one attorney with their open leads."""
    async with world.sessions() as session:
        attorney = await repository.find_attorney(session, attorney_id)
        loads = await repository.open_leads_by_owner(session, attorney_id)
    return AttorneyBody.of(attorney, loads.get(attorney_id, 0))


@router.patch("/{attorney_id}", response_model=AttorneyBody, responses=problems(401, 403, 404, 409, 422))
async def patch_attorney(world: World, _admin: Admin, attorney_id: UUID, body: AttorneyPatch) -> AttorneyBody:
    """Change an attorney. Availability and capacity decide about new leads only."""
    changes: dict[str, Any] = body.model_dump(exclude_unset=True, exclude={"absences"})
    if "absences" in body.model_fields_set:
        changes["absences"] = _stored(body.absences)
    if "email" in changes:
        changes["email"] = changes["email"].lower()
    attorney = await change_attorney(world.sessions, attorney_id, changes)
    async with world.sessions() as session:
        loads = await repository.open_leads_by_owner(session, attorney_id)
    return AttorneyBody.of(attorney, loads.get(attorney_id, 0))
