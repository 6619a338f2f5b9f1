"""Find stuck leads and put them back in motion (docs/design.md, invariant 5 and Repair).

A lead is stuck when it is open and, for `stuck_after`, has neither owner nor waiting reason, or is assigned
without a known next mail attempt. Repair says again the event that states the lead, with a fresh id and its
present epoch: it writes no status and sends no mail; the hearers' order rule makes a repeat harmless.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge
from service_chassis import outbox, telemetry
from service_chassis.database import Sessions
from service_chassis.outbox import outbox as outbox_table
from service_chassis.transient import sqlstates
from shared_schemas.events import LeadClosed, LeadReassigned, LeadRegistered
from sqlalchemy import ColumnElement, and_, exists, false, func, not_, or_, select, true, tuple_
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from intake_api import repository
from intake_api.cursor import Cursor
from intake_api.exceptions import LeadNotFoundError
from intake_api.lead_events import state_of
from intake_api.lead_status import CLOSED, OPEN, RELAY_AWAY, LeadStatus
from intake_api.models import Attorney, DeadLetter, Lead, Repair
from intake_api.use_cases.change_attorney import restate_attorneys

log = structlog.get_logger(__name__)

STUCK = Gauge("stuck_leads", "Open leads that nothing moves; the target is 0")
REPAIRS = Counter("lead_repairs_total", "Events said again for stuck leads")

FIRST_WAIT_S = 15 * 60
LONGEST_WAIT_S = 6 * 3600
UNATTENDED_LIMIT = 100
"""With more stuck leads than this something larger is wrong: repair then waits for an operator."""

STUCK_PAGE = 1000
REBUILD_BATCH = 500


@dataclass(frozen=True)
class StuckLead:
    """A stuck lead: what it lacks, since when, and what keeps the reconciler's hands off it, if anything."""

    lead_id: UUID
    status: str
    lacks: str
    since: datetime
    held_back_by: str | None
    next_repair_at: datetime | None


def _seconds(value: float) -> ColumnElement[object]:
    return func.make_interval(0, 0, 0, 0, 0, 0, value)


def _is_stuck(stuck_after: float) -> ColumnElement[bool]:
    no_owner = and_(Lead.assigned_to.is_(None), Lead.waiting_reason.is_(None))
    overdue = Lead.outreach_next_at < func.now() - _seconds(stuck_after)
    waits_for_relay = and_(Lead.outreach_reason == RELAY_AWAY, not_(_relay_was_back(stuck_after)))
    unknown = and_(Lead.outreach_next_at.is_(None), not_(func.coalesce(waits_for_relay, false())))
    no_attempt = and_(Lead.status == LeadStatus.ASSIGNED, or_(overdue, unknown))
    aged = Lead.updated_at <= func.now() - _seconds(stuck_after)
    return and_(Lead.status.in_(OPEN), aged, or_(no_owner, no_attempt))


def _relay_was_back(stuck_after: float) -> ColumnElement[bool]:
    """Whether a mail went out so long after this lead was told to wait, and so long ago, that its own should have.

    Nothing else tells intake-api that the relay is back.
    """
    other = aliased(Lead)
    margin = _seconds(stuck_after)
    last = select(func.max(other.reached_at)).where(other.reached_at < func.now() - margin).scalar_subquery()
    return func.coalesce(last > Lead.updated_at + margin, false())


_UNSENT = exists().where(outbox_table.c.lead_id == Lead.id)
_DEAD = exists().where(DeadLetter.lead_id == Lead.id, DeadLetter.status == "open")


async def count_stuck(session: AsyncSession, stuck_after: float) -> int:
    """How many leads are stuck. ``stuck_after`` in seconds."""
    return int(await session.scalar(select(func.count()).select_from(Lead).where(_is_stuck(stuck_after))) or 0)


async def find_stuck(
    session: AsyncSession, stuck_after: float, *, limit: int = STUCK_PAGE, after: Cursor | None = None
) -> Sequence[StuckLead]:
    """The stuck leads, longest first. ``stuck_after`` in seconds; ``after``: where the page before ended (`since`)."""
    place = tuple_(Lead.updated_at, Lead.id)
    rows = await session.execute(
        select(Lead, _UNSENT.label("unsent"), _DEAD.label("dead"), Repair.next_at)
        .outerjoin(Repair, Repair.lead_id == Lead.id)
        .where(_is_stuck(stuck_after), true() if after is None else place > (after.value, after.lead_id))
        .order_by(Lead.updated_at, Lead.id)
        .limit(limit)
    )
    found = []
    for lead, unsent, dead, next_at in rows:
        held = _held_back_by(unsent=unsent, dead=dead)
        found.append(StuckLead(lead.id, lead.status, _lacks(lead), lead.updated_at, held, next_at))
    return found


async def held_back_by(session: AsyncSession, lead_id: UUID) -> str | None:
    """What keeps the reconciler's hands off a lead, stuck or not, if anything."""
    row = (await session.execute(select(_UNSENT.label("unsent"), _DEAD.label("dead")).where(Lead.id == lead_id))).one()
    return _held_back_by(unsent=row.unsent, dead=row.dead)


def _held_back_by(*, unsent: bool, dead: bool) -> str | None:
    return "an unsent event" if unsent else "an open dead letter" if dead else None


def _lacks(lead: Lead) -> str:
    if lead.status in CLOSED:
        return "end"
    return "owner" if lead.assigned_to is None and lead.waiting_reason is None else "next mail attempt"


async def repair_lead(sessions: Sessions, lead_id: UUID, stuck_after: float, *, forced: bool = False) -> bool:
    """State one stuck lead again, if the bounds allow it. Returns whether an event was said.

    ``forced`` is a person's wish: 15 minutes between repairs are enough, however many there were, and of a closed lead
    LeadClosed is said. Raises LeadNotFoundError.
    """
    due = Repair.last_at <= func.now() - _seconds(FIRST_WAIT_S) if forced else Repair.next_at <= func.now()
    async with sessions.begin() as session:
        lead = await repository.lock_lead_and_address(session, lead_id)
        allowed = await session.scalar(
            select(Lead.id)
            .outerjoin(Repair, Repair.lead_id == Lead.id)
            .where(
                Lead.id == lead_id,
                or_(_is_stuck(stuck_after), and_(true() if forced else false(), Lead.status.in_(CLOSED))),
                ~_UNSENT,
                ~_DEAD,
                or_(Repair.next_at.is_(None), due),
            )
        )
        if allowed is None:
            return False
        await _state_again(session, lead)
        await session.execute(_count_repair(lead_id))
    REPAIRS.inc()
    log.info("lead_repaired", lead_id=str(lead_id), lacks=_lacks(lead))
    return True


async def reconcile(sessions: Sessions, stuck_after: float) -> int:
    """One unattended round: measure, and repair what may be repaired. Returns how many events were said."""
    async with sessions() as session:
        total = await count_stuck(session, stuck_after)
        stuck = await find_stuck(session, stuck_after, limit=UNATTENDED_LIMIT)
    STUCK.set(total)
    if total > UNATTENDED_LIMIT:
        log.error("too_many_stuck", stuck=total, remedy="look for the cause, then: leadctl reconcile")
        return 0
    said = 0
    for one in stuck:
        try:
            said += await repair_lead(sessions, one.lead_id, stuck_after)
        except (LeadNotFoundError, DBAPIError) as error:  # erased meanwhile, or locked: the others are not to wait
            if isinstance(error, DBAPIError) and not sqlstates(error):
                raise  # the database said nothing: it is away
            log.warning("lead_not_repaired", lead_id=str(one.lead_id), **telemetry.log_fields(error))
    return said


async def rebuild_assignment(sessions: Sessions, after: UUID | None = None) -> tuple[int, int, UUID | None]:
    """Say every attorney and the first `REBUILD_BATCH` open leads again, or with ``after`` the leads that follow.

    Called until there is no next, it makes an emptied assignment database whole. Returns how many attorneys and
    leads were said, and what to give as ``after`` next.
    """
    attorneys = await restate_attorneys(sessions) if after is None else 0
    async with sessions.begin() as session:
        found = await session.scalars(
            select(Lead)
            .where(Lead.status.in_(OPEN), Lead.id > (after or UUID(int=0)))
            .order_by(Lead.id)
            .limit(REBUILD_BATCH)
            .with_for_update()
        )
        batch = found.all()
        for lead in batch:
            await _state_again(session, lead)
    return attorneys, len(batch), batch[-1].id if len(batch) == REBUILD_BATCH else None


async def _state_again(session: AsyncSession, lead: Lead) -> None:
    if lead.status in CLOSED:
        closed = LeadClosed(lead_id=lead.id, epoch=lead.epoch, decision_seen=lead.decision)
        await outbox.add(session, closed, correlation_id=lead.trace_id)
        return
    if lead.assigned_to is None:
        keep = await repository.former_owner(session, lead.email_key) if lead.epoch == 0 else None
        event = state_of(lead, LeadRegistered, keep_attorney_id=keep)
        await outbox.add(session, event, correlation_id=lead.trace_id)
        return
    owner = await session.get_one(Attorney, lead.assigned_to)
    await outbox.add(session, state_of(lead, LeadReassigned, attorney=owner), correlation_id=lead.trace_id)


def _count_repair(lead_id: UUID) -> Insert:
    wait = func.least(LONGEST_WAIT_S, FIRST_WAIT_S * func.power(2, Repair.times))
    fresh = insert(Repair).values(lead_id=lead_id, times=1, next_at=func.now() + _seconds(FIRST_WAIT_S))
    return fresh.on_conflict_do_update(
        index_elements=["lead_id"],
        set_={
            "times": Repair.times + 1,
            "last_at": func.now(),
            "next_at": func.now() + func.make_interval(0, 0, 0, 0, 0, 0, wait),
        },
    )
