"""One change of many leads in one request."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool

from intake_api.lead_status import LeadStatus
from intake_api.problems import describe
from intake_api.routes.context import LeadWriter, World
from intake_api.routes.schemas import Problem, problems
from intake_api.use_cases.change_lead import LeadChange
from intake_api.use_cases.change_leads import DISCARD, RELEASE, ChangeResult, Outcome, change_leads

router = APIRouter(prefix="/api/v1/leads", tags=["leads"])

MOST_LEADS = 200


def _unique(lead_ids: list[UUID]) -> list[UUID]:
    if len(set(lead_ids)) < len(lead_ids):
        raise ValueError("names a lead twice")
    return lead_ids


LeadIds = Annotated[
    list[UUID],
    Field(min_length=1, max_length=MOST_LEADS, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_unique),
]


class ManyLeads(BaseModel):
    """Which leads, and whether to find out only what would happen."""

    model_config = ConfigDict(extra="forbid")

    lead_ids: LeadIds
    dry_run: StrictBool = Field(False, description="Find out what would happen, and change nothing")


class ReassignMany(ManyLeads):
    """Give the leads to this attorney; null asks for a new automatic choice."""

    action: Literal["reassign"]
    assigned_to: UUID | None

    @property
    def change(self) -> LeadChange:
        """The change of each lead."""
        return LeadChange(assigned_to=self.assigned_to, changes_owner=True)


class MoveMany(ManyLeads):
    """Move the leads to this status."""

    action: Literal["status"]
    status: LeadStatus
    reached_out_by: UUID | None = None

    @property
    def change(self) -> LeadChange:
        """The change of each lead."""
        return LeadChange(status=self.status, reached_out_by=self.reached_out_by)


class SettleMany(ManyLeads):
    """Release the leads from quarantine, or discard them."""

    action: Literal["release", "discard"]

    @property
    def change(self) -> LeadChange:
        """The change of each lead."""
        return RELEASE if self.action == "release" else DISCARD


BulkChange = Annotated[ReassignMany | MoveMany | SettleMany, Field(discriminator="action")]


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
