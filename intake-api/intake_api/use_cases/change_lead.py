"""A person changes a lead: its owner, its status, who reached out (docs/design.md, Life of a lead).

With several changes in one request the owner is changed first. Every change is one transaction with its
events; what is not a legal move names the legal ones and changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from service_chassis import outbox
from service_chassis.database import Sessions
from shared_schemas.events import LeadClosed, LeadReassigned, LeadReopened, OutreachCancelled
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from intake_api import audit, repository, timeline
from intake_api.caller import Caller
from intake_api.exceptions import (
    AttorneyNotFoundError,
    FieldError,
    IllegalMoveError,
    InvalidFieldsError,
    LeadNotFoundError,
    NotAllowedError,
)
from intake_api.lead_events import state_of, wants_outreach
from intake_api.lead_status import CLOSED, OPEN, RELAY_AWAY, LeadStatus, staff_moves
from intake_api.models import Attorney, Lead
from intake_api.use_cases.release_lead import release_lead


@dataclass(frozen=True)
class LeadChange:
    """What is asked for. ``changes_owner`` with no ``assigned_to`` asks for a new automatic choice."""

    status: LeadStatus | None = None
    reached_out_by: UUID | None = None
    assigned_to: UUID | None = None
    changes_owner: bool = False


Precondition = Callable[[Lead], None]
"""What is checked of the locked lead before anything changes; it raises what is wrong."""


async def change_lead(
    sessions: Sessions, caller: Caller, lead_id: UUID, change: LeadChange, *, precondition: Precondition | None = None
) -> Lead:
    """Change a lead and return it. Raises what `apply_change` raises."""
    async with sessions.begin() as session:
        lead, detail = await apply_change(session, caller, lead_id, change, precondition=precondition)
        audited = {"from": detail["from"]["status"], "to": lead.status, "epoch": lead.epoch}
        await audit.record_change(session, "change_lead", lead.id, actor=caller.actor, detail=audited)
    return lead


async def apply_change(
    session: AsyncSession,
    caller: Caller,
    lead_id: UUID,
    change: LeadChange,
    *,
    precondition: Precondition | None = None,
) -> tuple[Lead, dict[str, Any]]:
    """Change a lead in the caller's transaction; returns it, and where it stood before and stands now.

    Raises LeadNotFoundError, NotAllowedError, InvalidFieldsError, IllegalMoveError, and what ``precondition`` raises.
    """
    lead = await repository.lock_lead_and_address(session, lead_id)
    if not caller.sees(lead.assigned_to):
        raise LeadNotFoundError(lead_id)
    if precondition is not None:
        precondition(lead)
    _check_fields(caller, change)
    before = _standing(lead)
    attorneys = await _named_attorneys(session, change)
    if change.changes_owner:
        await _change_owner(session, caller, lead, attorneys.get("assigned_to"))
    if change.status is not None and change.status != lead.status:
        await _move(session, caller, lead, change.status, attorneys.get("reached_out_by"))
    elif change.reached_out_by is not None:
        await _set_reached_out_by(session, caller, lead, change.reached_out_by)
    await session.flush()
    return lead, {"from": before, "to": _standing(lead)}


def _standing(lead: Lead) -> dict[str, Any]:
    return {
        "status": str(lead.status),
        "epoch": lead.epoch,
        "assigned_to": str(lead.assigned_to) if lead.assigned_to else None,
        "reached_out_by": str(lead.reached_out_by) if lead.reached_out_by else None,
    }


def _check_fields(caller: Caller, change: LeadChange) -> None:
    """Attorneys give no lead away and speak for themselves only."""
    if not caller.sees_own_leads_only:
        return
    if change.changes_owner:
        raise NotAllowedError("assigned_to", "is not for attorneys to change: ask the intake desk")
    if change.reached_out_by not in {None, caller.attorney_id}:
        raise NotAllowedError("reached_out_by", "may name nobody but yourself")


async def _named_attorneys(session: AsyncSession, change: LeadChange) -> dict[str, Attorney]:
    """Find the attorneys named in the request; every unknown one is an error of its field."""
    found: dict[str, Attorney] = {}
    errors: list[FieldError] = []
    for field, attorney_id in (("assigned_to", change.assigned_to), ("reached_out_by", change.reached_out_by)):
        if attorney_id is None:
            continue
        try:
            found[field] = await repository.find_attorney(session, attorney_id)
        except AttorneyNotFoundError:
            errors.append(FieldError(field, "names no attorney: see GET /api/v1/attorneys"))
    if errors:
        raise InvalidFieldsError(errors)
    return found


def illegal_move(lead: Lead, detail: str) -> IllegalMoveError:
    """The error of a move that the lead's status does not allow, with those that it does."""
    moves = staff_moves(
        LeadStatus(lead.status), was_reached=lead.reached_at is not None, has_owner=lead.assigned_to is not None
    )
    return IllegalMoveError(detail, status=lead.status, legal=moves)


async def _change_owner(session: AsyncSession, caller: Caller, lead: Lead, attorney: Attorney | None) -> None:
    if LeadStatus(lead.status) not in OPEN:
        raise illegal_move(lead, f"a lead that is {lead.status} has no owner to change")
    if attorney is not None and attorney.id == lead.assigned_to:
        return
    former = lead.assigned_to
    lead.epoch += 1
    lead.assigned_to = attorney.id if attorney else None
    lead.waiting_reason = lead.waiting_since = None
    if attorney is not None and lead.status == LeadStatus.REGISTERED:
        lead.status = LeadStatus.ASSIGNED
    elif attorney is None and lead.status == LeadStatus.ASSIGNED:
        lead.status = LeadStatus.REGISTERED
    detail: dict[str, Any] = {
        "from": str(former) if former else None,
        "to": str(attorney.id) if attorney else None,
        "epoch": lead.epoch,
    }
    if attorney is not None:
        load = await repository.open_leads_by_owner(session, attorney.id)
        detail["was_available"] = attorney.available
        detail["was_full"] = attorney.capacity is not None and load.get(attorney.id, 0) >= attorney.capacity
    await session.flush()
    await _say(session, lead, state_of(lead, LeadReassigned, attorney=attorney))
    await timeline.record(session, lead.id, "lead.reassigned", actor=caller.actor, detail=detail)


async def _move(
    session: AsyncSession, caller: Caller, lead: Lead, target: LeadStatus, reacher: Attorney | None
) -> None:
    current = LeadStatus(lead.status)
    was_closed = current in CLOSED
    legal = staff_moves(current, was_reached=lead.reached_at is not None, has_owner=lead.assigned_to is not None)
    if target is LeadStatus.REGISTERED and target not in legal and lead.released_at is not None:
        return  # released before: the answer is the present state
    if target not in legal:
        raise illegal_move(lead, f"a lead that is {current} cannot become {target}")
    if reacher is not None and target is not LeadStatus.REACHED_OUT:
        raise illegal_move(lead, f"reached_out_by goes with the status {LeadStatus.REACHED_OUT} only")
    if current is LeadStatus.QUARANTINED:
        await _settle_quarantine(session, caller, lead, target)
    elif was_closed:
        await _reopen(session, caller, lead, target)
    elif target is LeadStatus.ASSIGNED:
        raise InvalidFieldsError([FieldError("assigned_to", "is required: name the owner")])
    elif target is LeadStatus.REACHED_OUT:
        await _reach_out(session, caller, lead, reacher)
    elif target in CLOSED:
        await close_lead(session, lead, target, actor=caller.actor)
    else:
        raise illegal_move(lead, f"a lead that is {current} cannot be moved by this request")
    if was_closed and reacher is not None:
        lead.reached_out_by = reacher.id


async def _settle_quarantine(session: AsyncSession, caller: Caller, lead: Lead, target: LeadStatus) -> None:
    if target is LeadStatus.REGISTERED:
        await release_lead(session, caller, lead)
        await session.flush()
        await _record_move(session, caller.actor, lead, LeadStatus.QUARANTINED, {})
    else:
        await discard_lead(session, lead, actor=caller.actor)


async def discard_lead(session: AsyncSession, lead: Lead, *, actor: str) -> None:
    """End a locked, quarantined lead: nobody has heard of it."""
    lead.status = LeadStatus.DISCARDED
    await session.flush()
    await _record_move(session, actor, lead, LeadStatus.QUARANTINED, {})


async def _reach_out(session: AsyncSession, caller: Caller, lead: Lead, reacher: Attorney | None) -> None:
    by = (reacher.id if reacher else None) or caller.attorney_id or lead.assigned_to
    if by is None:
        raise InvalidFieldsError(
            [FieldError("reached_out_by", "is required: neither you nor the lead has an attorney")]
        )
    before = lead.status
    lead.status = LeadStatus.REACHED_OUT
    lead.reached_out_by = by
    lead.reached_at = await session.scalar(select(func.now()))
    lead.waiting_reason = lead.waiting_since = None
    if lead.assigned_to is None:
        lead.assigned_to = by
        lead.epoch += 1
        await session.flush()
        attorney = await repository.find_attorney(session, by)
        await _say(session, lead, state_of(lead, LeadReassigned, attorney=attorney))
    await session.flush()
    await _cancel_outreach(session, lead)
    await _record_move(session, caller.actor, lead, before, {"reached_out_by": str(by)})


async def close_lead(session: AsyncSession, lead: Lead, target: LeadStatus, *, actor: str) -> None:
    """End the work on a locked, open lead: the mail that waits is cancelled."""
    before = lead.status
    lead.status = target
    lead.epoch += 1
    lead.waiting_reason = lead.waiting_since = None
    await session.flush()
    await _say(session, lead, LeadClosed(lead_id=lead.id, epoch=lead.epoch, decision_seen=lead.decision))
    await _cancel_outreach(session, lead)
    await _record_move(session, actor, lead, before, {})


async def _reopen(session: AsyncSession, caller: Caller, lead: Lead, target: LeadStatus) -> None:
    before = lead.status
    lead.status = target
    lead.epoch += 1
    if lead.outreach_reason == RELAY_AWAY:  # of the time before: nobody waits now
        lead.outreach_reason = None
    await session.flush()
    owner = await repository.find_attorney(session, lead.assigned_to) if lead.assigned_to else None
    await _say(session, lead, state_of(lead, LeadReopened, attorney=owner))
    await _record_move(session, caller.actor, lead, before, {"reopened": True})


async def _set_reached_out_by(session: AsyncSession, caller: Caller, lead: Lead, by: UUID) -> None:
    if lead.status != LeadStatus.REACHED_OUT:
        raise illegal_move(lead, f"reached_out_by goes with the status {LeadStatus.REACHED_OUT} only")
    if lead.reached_out_by == by:
        return
    detail = {"from": str(lead.reached_out_by) if lead.reached_out_by else None, "to": str(by)}
    lead.reached_out_by = by
    await timeline.record(session, lead.id, "lead.reached-out-by-changed", actor=caller.actor, detail=detail)


async def _cancel_outreach(session: AsyncSession, lead: Lead) -> None:
    if not wants_outreach(lead):
        await _say(session, lead, OutreachCancelled(lead_id=lead.id, epoch=lead.epoch, kind="welcome"))


async def _record_move(session: AsyncSession, actor: str, lead: Lead, before: str, detail: dict[str, Any]) -> None:
    whole = {"from": before, "to": lead.status, "epoch": lead.epoch, **detail}
    await timeline.record(session, lead.id, "lead.status-changed", actor=actor, detail=whole)


async def _say(
    session: AsyncSession, lead: Lead, event: LeadReassigned | LeadReopened | LeadClosed | OutreachCancelled
) -> None:
    await outbox.add(session, event, correlation_id=lead.trace_id)
