"""One change of many leads in one request."""

from enum import StrEnum
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator

from intake_api.lead_status import LeadStatus
from intake_api.problems import describe
from intake_api.routes.context import LeadWriter, World
from intake_api.routes.schemas import Problem, problems
from intake_api.use_cases.change_lead import LeadChange
from intake_api.use_cases.change_leads import DISCARD, RELEASE, ChangeResult, Outcome, change_leads

router = APIRouter(prefix="/api/v1/leads", tags=["leads"])

MOST_LEADS = 200


class Action(StrEnum):
    """What is done with every lead."""

    REASSIGN = "reassign"
    STATUS = "status"
    RELEASE = "release"
    DISCARD = "discard"


_FIELDS_OF = {
    Action.REASSIGN: {"assigned_to"},
    Action.STATUS: {"status", "reached_out_by"},
    Action.RELEASE: set[str](),
    Action.DISCARD: set[str](),
}
_REQUIRED_OF = {Action.REASSIGN: "assigned_to", Action.STATUS: "status"}


class BulkChange(BaseModel):
    """What to do with which leads. ``assigned_to: null`` asks for a new automatic choice."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "action": "reassign",
                    "lead_ids": ["3f0c3a36-2f0c-4b7e-9a4c-0d6a2b9f2c11"],
                    "assigned_to": None,
                    "dry_run": True,
                }
            ]
        },
    )

    action: Action
    lead_ids: Annotated[list[UUID], Field(min_length=1, max_length=MOST_LEADS)]
    assigned_to: UUID | None = None
    status: LeadStatus | None = None
    reached_out_by: UUID | None = None
    dry_run: bool = Field(False, description="Find out what would happen, and change nothing")

    @model_validator(mode="after")
    def _fields_fit_the_action(self) -> Self:
        given = self.model_fields_set & {"assigned_to", "status", "reached_out_by"}
        if strangers := sorted(given - _FIELDS_OF[self.action]):
            raise ValueError(f"{', '.join(strangers)} has no meaning for the action {self.action}")
        needed = _REQUIRED_OF.get(self.action)
        if needed and (needed not in given or (needed == "status" and self.status is None)):
            raise ValueError(f"the action {self.action} needs {needed}")
        if len(set(self.lead_ids)) < len(self.lead_ids):
            raise ValueError("lead_ids names a lead twice")
        return self

    @property
    def change(self) -> LeadChange:
        """The change of each lead."""
        if self.action is Action.RELEASE:
            return RELEASE
        if self.action is Action.DISCARD:
            return DISCARD
        return LeadChange(
            status=self.status,
            reached_out_by=self.reached_out_by,
            assigned_to=self.assigned_to,
            changes_owner=self.action is Action.REASSIGN,
        )


class BulkItem(BaseModel):
    """What became (or, in a dry run, would become) of one lead."""

    lead_id: UUID
    outcome: Outcome
    status: LeadStatus | None = None
    problem: Problem | None = None

    @classmethod
    def of(cls, result: ChangeResult) -> Self:
        """Encode a result."""
        problem: dict[str, Any] | None = describe(result.error) if result.error else None
        return cls(
            lead_id=result.lead_id,
            outcome=result.outcome,
            status=LeadStatus(result.status) if result.status else None,
            problem=Problem(**problem) if problem else None,
        )


class BulkResult(BaseModel):
    """What became of the leads, in the order they were named."""

    dry_run: bool
    changed: int
    unchanged: int
    refused: int
    items: list[BulkItem]


@router.post("/bulk", response_model=BulkResult, responses=problems(401, 403, 422))
async def post_bulk(world: World, caller: LeadWriter, body: BulkChange) -> BulkResult:
    """Change up to 200 leads, each by itself: one that is refused does not keep the others."""
    results = await change_leads(world.sessions, caller, body.lead_ids, body.change, dry_run=body.dry_run)
    counts = {outcome: sum(result.outcome is outcome for result in results) for outcome in Outcome}
    return BulkResult(
        dry_run=body.dry_run,
        changed=counts[Outcome.CHANGED],
        unchanged=counts[Outcome.UNCHANGED],
        refused=counts[Outcome.REFUSED],
        items=[BulkItem.of(result) for result in results],
    )
