"""What a form needs before it is sent, and what staff see of attempts to send one."""

import time
from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy import func, select

from intake_api.form_models import CaptureAttempt
from intake_api.routes.context import Operator, World
from intake_api.routes.schemas import LARGEST_OFFSET, problems
from intake_api.submission import HONEYPOT
from intake_api.use_cases.record_attempt import OUTCOMES

router = APIRouter(prefix="/api/v1", tags=["form"])


class FormTokenBody(BaseModel):
    """What a rendered form carries: ``form_token`` as a hidden field, and a field named ``honeypot`` left empty."""

    form_token: str
    expires_in: int
    minimum_seconds: float
    honeypot: str


class AttemptBody(BaseModel):
    """An attempt to submit a lead, without anything that was typed."""

    at: datetime
    last_at: datetime
    times: int
    outcome: str
    status: int
    reasons: list[str]
    client_hash: str
    recipient_hash: str | None
    trace_id: str

    @classmethod
    def of(cls, row: CaptureAttempt) -> Self:
        """Encode a row of the capture log."""
        return cls(**{name: getattr(row, name) for name in cls.model_fields})


class AttemptPage(BaseModel):
    """Attempts, newest first."""

    items: list[AttemptBody]
    total: int
    limit: int
    offset: int


@router.get("/forms/token", response_model=FormTokenBody, summary="Ask for a form token (public)")
async def get_form_token(world: World) -> FormTokenBody:
    """Give a signed note of this moment to a form that is being rendered."""
    tokens = world.form.tokens
    return FormTokenBody(
        form_token=tokens.issue(time.time()),
        expires_in=int(tokens.lifetime),
        minimum_seconds=tokens.minimum,
        honeypot=HONEYPOT,
    )


@router.get("/captures", response_model=AttemptPage, responses=problems(401, 403, 422))
async def get_captures(
    world: World,
    _caller: Operator,
    outcome: Annotated[str | None, Query(pattern=f"^({'|'.join(OUTCOMES)})$")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    offset: Annotated[int, Query(ge=0, le=LARGEST_OFFSET)] = 0,
) -> AttemptPage:
    """List attempts to submit a lead, refused ones too, newest first."""
    chosen = [CaptureAttempt.outcome == outcome] if outcome else []
    newest = select(CaptureAttempt).where(*chosen).order_by(CaptureAttempt.at.desc(), CaptureAttempt.id.desc())
    async with world.sessions() as session:
        rows = (await session.scalars(newest.limit(limit).offset(offset))).all()
        total = await session.scalar(select(func.count()).select_from(CaptureAttempt).where(*chosen))
    return AttemptPage(items=[AttemptBody.of(row) for row in rows], total=total or 0, limit=limit, offset=offset)
