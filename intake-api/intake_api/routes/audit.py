"""The audit: who did what with which lead, and whether the record still holds."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select

from intake_api.audit_models import AuditEntry
from intake_api.routes.context import Admin, Operator, World
from intake_api.routes.schemas import PlainText, problems
from intake_api.use_cases.verify_audit import verify_audit

router = APIRouter(prefix="/api/v1/audit", tags=["audit"])


class AuditEntryBody(BaseModel):
    """One act. ``result`` is the HTTP status it ended with, ``origin`` the network it came from."""

    model_config = ConfigDict(from_attributes=True)

    seq: int
    at: datetime
    actor: str
    action: str
    lead_id: UUID | None
    origin: str
    result: int
    detail: dict[str, Any]


class AuditPage(BaseModel):
    """Acts, latest first. ``next_before`` continues the list; none at its end."""

    items: list[AuditEntryBody]
    next_before: int | None


class VerifiedBody(BaseModel):
    """Whether the chain holds, up to which row, and the first row that breaks it."""

    model_config = ConfigDict(from_attributes=True)

    rows: int
    last_hash: str
    broken_seq: int | None
    problem: str | None


@router.get("", response_model=AuditPage, responses=problems(401, 403, 422))
async def get_audit(
    world: World,
    _admin: Admin,
    lead_id: UUID | None = None,
    actor: PlainText | None = None,
    action: PlainText | None = None,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="Only rows with a smaller number")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> AuditPage:
    """List who did what, latest first."""
    query = select(AuditEntry).order_by(AuditEntry.seq.desc()).limit(limit)
    for column, value in (
        (AuditEntry.lead_id, lead_id),
        (AuditEntry.actor, actor),
        (AuditEntry.action, action),
    ):
        if value is not None:
            query = query.where(column == value)
    if before is not None:
        query = query.where(AuditEntry.seq < before)
    async with world.sessions() as session:
        rows = (await session.scalars(query)).all()
    items = [AuditEntryBody.model_validate(row) for row in rows]
    return AuditPage(items=items, next_before=items[-1].seq if len(items) == limit else None)


@router.get("/verification", response_model=VerifiedBody, responses=problems(401, 403))
async def get_verification(world: World, _operator: Operator) -> VerifiedBody:
    """Check the whole audit, row by row, and name the first broken one."""
    return VerifiedBody.model_validate(await verify_audit(world.sessions))
