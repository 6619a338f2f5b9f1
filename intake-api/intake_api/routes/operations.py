"""Operations: dead letters and stuck leads, for operators and `leadctl`."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from intake_api.cursor import Cursor
from intake_api.repository import find_lead
from intake_api.routes.context import Operator, World
from intake_api.routes.operation_schemas import (
    DeadLetterBody,
    DeadLetterDetail,
    DeadLetterPage,
    Discard,
    LeadState,
    Rebuilt,
    Repaired,
    Replayed,
    ReplayMany,
    StuckLeadBody,
    StuckLeads,
)
from intake_api.routes.schemas import LARGEST_OFFSET, PlainText, problems
from intake_api.signer import LONGEST
from intake_api.use_cases.handle_dead_letters import (
    DeadLetterFilter,
    discard_dead_letter,
    find_dead_letter,
    list_dead_letters,
    replay_dead_letter,
    replay_dead_letters,
)
from intake_api.use_cases.reconcile import (
    STUCK_PAGE,
    count_stuck,
    find_stuck,
    held_back_by,
    rebuild_assignment,
    repair_lead,
)

router = APIRouter(prefix="/api/v1", tags=["operations"])

_STUCK = "stuck-leads"
"""What a cursor of theirs is bound to."""


@router.get("/dead-letters", response_model=DeadLetterPage, responses=problems(401, 403, 422))
async def get_dead_letters(
    world: World,
    _operator: Operator,
    status: Annotated[str | None, Query(pattern="^(open|replayed|discarded)$")] = None,
    queue: PlainText | None = None,
    message_type: PlainText | None = None,
    lead_id: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    offset: Annotated[int, Query(ge=0, le=LARGEST_OFFSET)] = 0,
) -> DeadLetterPage:
    """List given-up messages, latest failures first."""
    chosen = DeadLetterFilter(status, queue, message_type, lead_id)
    async with world.sessions() as session:
        rows, total = await list_dead_letters(session, chosen, limit=limit, offset=offset)
    return DeadLetterPage(items=[DeadLetterBody.of(row) for row in rows], total=total, limit=limit, offset=offset)


@router.get("/dead-letters/{dead_letter_id}", response_model=DeadLetterDetail, responses=problems(401, 403, 404, 422))
async def get_dead_letter(world: World, operator: Operator, dead_letter_id: UUID) -> DeadLetterDetail:
    """Show one, to an admin with its raw body (base64)."""
    async with world.sessions() as session:
        return DeadLetterDetail.read(await find_dead_letter(session, dead_letter_id), operator)


@router.post("/dead-letters/replay", response_model=Replayed, responses=problems(401, 403, 422))
async def post_replay_many(world: World, operator: Operator, body: ReplayMany) -> Replayed:
    """Send all open ones that match to the queue that failed.

    Call again with the answer's ``failed_before`` while ``replayed`` is not 0.
    """
    chosen = DeadLetterFilter(None, body.queue, body.message_type, body.lead_id)
    replayed, left, until = await replay_dead_letters(world.sessions, chosen, operator.actor, body.failed_before)
    return Replayed(replayed=replayed, not_replayable=left, failed_before=until)


@router.post(
    "/dead-letters/{dead_letter_id}/replay", response_model=DeadLetterBody, responses=problems(401, 403, 404, 409, 422)
)
async def post_replay(world: World, operator: Operator, dead_letter_id: UUID) -> DeadLetterBody:
    """Send one again to the queue that failed; one that is not open is left as it is."""
    return DeadLetterBody.of(await replay_dead_letter(world.sessions, dead_letter_id, operator.actor))


@router.post(
    "/dead-letters/{dead_letter_id}/discard", response_model=DeadLetterBody, responses=problems(401, 403, 404, 409, 422)
)
async def post_discard(world: World, operator: Operator, dead_letter_id: UUID, body: Discard) -> DeadLetterBody:
    """Close an open one for good, with a reason."""
    row = await discard_dead_letter(world.sessions, dead_letter_id, operator.actor, body.reason)
    return DeadLetterBody.of(row)


@router.get("/stuck-leads", response_model=StuckLeads, responses=problems(401, 403, 422))
async def get_stuck_leads(
    world: World,
    _operator: Operator,
    cursor: Annotated[
        str | None, Query(min_length=1, max_length=LONGEST, description="`next_cursor` of the page before")
    ] = None,
) -> StuckLeads:
    """List open leads that nothing moves, longest first."""
    after = Cursor.read(world.signer, _STUCK, cursor) if cursor else None
    stuck_after = world.settings.stuck_after
    async with world.sessions() as session:
        found = await find_stuck(session, stuck_after, limit=STUCK_PAGE, after=after)
        total = await count_stuck(session, stuck_after)
    is_full = len(found) == STUCK_PAGE
    next_cursor = Cursor(found[-1].since, found[-1].lead_id).sign(world.signer, _STUCK) if is_full else None
    return StuckLeads(items=[StuckLeadBody.of(one) for one in found], total=total, next_cursor=next_cursor)


@router.get("/stuck-leads/{lead_id}", response_model=LeadState, responses=problems(401, 403, 404, 422))
async def get_lead_state(world: World, operator: Operator, lead_id: UUID) -> LeadState:
    """Show where a lead stands, stuck or not, without anything its prospect sent."""
    async with world.sessions() as session:
        lead = await find_lead(session, lead_id, operator)
        return LeadState.of(lead, await held_back_by(session, lead_id))


@router.post("/stuck-leads/{lead_id}/repair", response_model=Repaired, responses=problems(401, 403, 404, 422))
async def post_repair(world: World, _operator: Operator, lead_id: UUID) -> Repaired:
    """Say the event that states a stuck lead again, without waiting for the next unattended repair."""
    return Repaired(repaired=await repair_lead(world.sessions, lead_id, world.settings.stuck_after, forced=True))


@router.post("/operations/rebuild-assignment", response_model=Rebuilt, responses=problems(401, 403, 422))
async def post_rebuild_assignment(world: World, _operator: Operator, after: UUID | None = None) -> Rebuilt:
    """Say every attorney and every open lead again, for an assignment database that was lost.

    Call again with the answer's ``next_after`` as ``after`` until it is null.
    """
    attorneys, leads, next_after = await rebuild_assignment(world.sessions, after)
    return Rebuilt(attorneys=attorneys, leads=leads, next_after=next_after)
