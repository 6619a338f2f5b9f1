"""One change of many leads: each in a transaction of its own, each with its own result."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from service_chassis.database import Sessions

from intake_api import audit
from intake_api.caller import Caller
from intake_api.exceptions import IntakeError
from intake_api.lead_status import OPEN, LeadStatus
from intake_api.models import Lead
from intake_api.use_cases.change_lead import LeadChange, apply_change, illegal_move


class Outcome(StrEnum):
    """What became of one lead."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True)
class ChangeResult:
    """What became of one lead; its status then, and why a change was refused."""

    lead_id: UUID
    outcome: Outcome
    status: str | None = None
    error: IntakeError | None = None


class _NothingToDoError(IntakeError):
    """The lead is already where it is to go."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


RELEASE = LeadChange(status=LeadStatus.REGISTERED)
DISCARD = LeadChange(status=LeadStatus.DISCARDED)


async def change_leads(
    sessions: Sessions, caller: Caller, lead_ids: Sequence[UUID], change: LeadChange, *, dry_run: bool
) -> Sequence[ChangeResult]:
    """Change the leads one after the other. ``dry_run`` finds out what would happen, and rolls it back."""
    return [await _change(sessions, caller, lead_id, change, dry_run=dry_run) for lead_id in lead_ids]


async def _change(
    sessions: Sessions, caller: Caller, lead_id: UUID, change: LeadChange, *, dry_run: bool
) -> ChangeResult:
    try:
        async with sessions() as session, session.begin() as transaction:
            lead, detail = await apply_change(
                session, caller, lead_id, change, precondition=_release_guard if change == RELEASE else None
            )
            outcome = Outcome.UNCHANGED if detail["from"] == detail["to"] else Outcome.CHANGED
            result = ChangeResult(lead_id, outcome, lead.status)
            if dry_run:
                await transaction.rollback()
            elif outcome is Outcome.CHANGED:
                await audit.record_change(
                    session, "change_leads", lead_id, actor=caller.actor, detail=detail, is_whole_request=False
                )
    except _NothingToDoError as nothing:
        return ChangeResult(lead_id, Outcome.UNCHANGED, nothing.status)
    except IntakeError as error:
        return ChangeResult(lead_id, Outcome.REFUSED, None, error)
    return result


def _release_guard(lead: Lead) -> None:
    """Releasing is for quarantined leads: one that is out is left alone, a closed one is not reopened by it."""
    if LeadStatus(lead.status) in OPEN or lead.released_at is not None:
        raise _NothingToDoError(lead.status)
    if lead.status != LeadStatus.QUARANTINED:
        raise illegal_move(lead, f"a lead that is {lead.status} cannot be released")
