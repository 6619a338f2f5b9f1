"""What the operations routes say and take, as JSON."""

import base64
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from intake_api.caller import Caller, Role
from intake_api.models import DeadLetter, Lead
from intake_api.routes.schemas import Instant, PlainText, ShortText
from intake_api.use_cases.reconcile import StuckLead


class DeadLetterBody(BaseModel):
    """A given-up message, without its content."""

    id: UUID
    queue: str
    message_id: str | None
    message_type: str | None
    lead_id: UUID | None
    attempts: int
    error_type: str
    error_place: str
    status: str
    times: int
    first_at: datetime
    last_at: datetime
    resolved_at: datetime | None
    resolved_by: str | None
    resolution: str | None

    model_config = ConfigDict(from_attributes=True)

    @classmethod
    def of(cls, row: DeadLetter) -> Self:
        """Encode a dead letter."""
        return cls.model_validate(row)


class DeadLetterDetail(DeadLetterBody):
    """A given-up message with its raw body in base64, which only an admin sees: it may name the prospect."""

    headers: dict[str, Any]
    correlation_id: str | None
    body_base64: str | None
    body_truncated: bool

    @classmethod
    def read(cls, row: DeadLetter, caller: Caller) -> Self:
        """Encode a dead letter for a caller."""
        body = base64.b64encode(row.body).decode() if caller.role is Role.ADMIN else None
        return cls(
            **DeadLetterBody.of(row).model_dump(),
            headers=row.headers,
            correlation_id=row.correlation_id,
            body_base64=body,
            body_truncated=row.body_truncated,
        )


class DeadLetterPage(BaseModel):
    """A page of dead letters."""

    items: list[DeadLetterBody]
    total: int
    limit: int
    offset: int


class ReplayMany(BaseModel):
    """Which open dead letters to send again; an empty object means all."""

    model_config = ConfigDict(extra="forbid")

    queue: PlainText | None = None
    message_type: PlainText | None = None
    lead_id: UUID | None = None
    failed_before: Instant | None = None


class Replayed(BaseModel):
    """How many were sent again, and how many cannot be."""

    replayed: int
    not_replayable: int
    failed_before: datetime


class Discard(BaseModel):
    """Why a message is given up for good."""

    model_config = ConfigDict(extra="forbid")

    reason: ShortText


class StuckLeadBody(BaseModel):
    """A stuck lead: what it lacks and what holds repair back."""

    lead_id: UUID
    status: str
    lacks: str
    since: datetime
    held_back_by: str | None
    next_repair_at: datetime | None

    @classmethod
    def of(cls, stuck: StuckLead) -> Self:
        """Encode a stuck lead."""
        return cls.model_validate(stuck, from_attributes=True)


class LeadState(BaseModel):
    """Where a lead stands and what holds repair back, without anything its prospect sent."""

    id: UUID
    status: str
    assigned_to: UUID | None
    waiting_reason: str | None
    waiting_since: datetime | None
    outreach_next_at: datetime | None
    outreach_reason: str | None
    created_at: datetime
    updated_at: datetime
    held_back_by: str | None = None

    model_config = ConfigDict(from_attributes=True)

    @classmethod
    def of(cls, lead: Lead, held_back_by: str | None) -> Self:
        """Encode a lead's state."""
        return cls.model_validate(lead).model_copy(update={"held_back_by": held_back_by})


class StuckLeads(BaseModel):
    """A page of stuck leads, longest first. ``next_cursor`` is null on the last page."""

    items: list[StuckLeadBody]
    total: int
    next_cursor: str | None = None


class Repaired(BaseModel):
    """Whether an event was said; false: the lead is not stuck, or something holds repair back."""

    repaired: bool


class Rebuilt(BaseModel):
    """How many attorneys and open leads this call said again; ``next_after`` is null when these were the last."""

    attorneys: int
    leads: int
    next_after: UUID | None
