"""See erasures through: delete the objects, hear the services' answers, say LeadErased again to who keeps silent.

A receipt is complete when the lead's objects are gone and every service has said LeadDataErased. Events of the lead
that arrive later find the tombstone and have no effect.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from prometheus_client import Gauge
from service_chassis.database import Sessions
from service_chassis.envelope import Envelope
from service_chassis.hearing import Handler
from service_chassis.outbox import outbox as outbox_table
from shared_schemas.events import LeadDataErased
from sqlalchemy import exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from intake_api.erasure_models import Erasure
from intake_api.exceptions import LeadNotFoundError, StorageAwayError
from intake_api.models import DeadLetter
from intake_api.resume_store import ResumeStore
from intake_api.use_cases.erase_lead import FIRST_WAIT_S, find_erasure, say_erased

log = structlog.get_logger(__name__)

OPEN = Gauge("open_erasures", "Erasures whose receipt is not complete; the target is 0")

HEARERS = ("assignment-worker", "mailer-worker")
LONGEST_WAIT_S = 6 * 3600


def unless_erased(handler: Handler) -> Handler:
    """Make a handler do nothing for a lead that was erased.

    It looks for the tombstone after the handler found no lead: an erasure that commits meanwhile is seen.
    """

    async def handle(session: AsyncSession, event: Any, envelope: Envelope) -> None:
        try:
            await handler(session, event, envelope)
        except LeadNotFoundError:
            if await session.get(Erasure, event.lead_id) is None:
                raise

    return handle


async def record_answer(session: AsyncSession, event: LeadDataErased, *, said_at: datetime | None) -> None:
    """Note on the receipt that a service holds nothing any more; its first answer counts. Raises LeadNotFoundError."""
    erasure = await find_erasure(session, event.lead_id, lock=True)
    if event.service not in erasure.answers:
        at = said_at or await _now(session)
        erasure.answers = {**erasure.answers, event.service: {"at": at.isoformat(), "counts": dict(event.counts)}}
        await _complete_if_done(session, erasure)


async def finish_erasures(sessions: Sessions, store: ResumeStore) -> None:
    """One round over the open receipts: delete recorded objects, and say LeadErased again where it is time."""
    async with sessions() as session:
        found = await session.scalars(
            select(Erasure.lead_id).where(Erasure.completed_at.is_(None)).order_by(Erasure.requested_at)
        )
        lead_ids = found.all()
    OPEN.set(len(lead_ids))
    for lead_id in lead_ids:
        await _say_again(sessions, lead_id)
    for lead_id in lead_ids:
        try:
            await _delete_objects(sessions, store, lead_id)
        except StorageAwayError as error:  # this lead's waits for the next round, and no other's with it
            log.warning("objects_not_deleted", lead_id=str(lead_id), error_type=type(error).__name__)


async def _delete_objects(sessions: Sessions, store: ResumeStore, lead_id: UUID) -> None:
    async with sessions() as session:
        keys = list((await find_erasure(session, lead_id)).object_keys)
    for key in keys:
        await store.delete(key)
    async with sessions.begin() as session:
        erasure = await find_erasure(session, lead_id, lock=True)
        erasure.objects_deleted += len(erasure.object_keys)
        erasure.object_keys = []
        await _complete_if_done(session, erasure)


async def _say_again(sessions: Sessions, lead_id: UUID) -> None:
    unsent = exists().where(outbox_table.c.lead_id == lead_id)
    dead = exists().where(DeadLetter.lead_id == lead_id, DeadLetter.status == "open")
    async with sessions.begin() as session:
        due = await session.scalar(
            select(Erasure)
            .where(
                Erasure.lead_id == lead_id,
                Erasure.completed_at.is_(None),
                Erasure.say_again_at <= func.now(),
                ~unsent,
                ~dead,
            )
            .with_for_update(skip_locked=True)
        )
        if due is None:
            return
        await say_erased(session, due)
        wait = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**due.said_times)
        due.said_times += 1
        due.say_again_at = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, wait)
    silent = [service for service in HEARERS if service not in due.answers]
    log.warning("lead_erased_said_again", lead_id=str(lead_id), waiting_for=silent)


async def _complete_if_done(session: AsyncSession, erasure: Erasure) -> None:
    """Complete a receipt that has everything, those of the leads merged into it included."""
    answered = all(service in erasure.answers for service in HEARERS)
    if not answered or erasure.object_keys or erasure.completed_at is not None:
        return
    await session.flush()
    open_part = exists().where(Erasure.part_of == erasure.lead_id, Erasure.completed_at.is_(None))
    if await session.scalar(select(open_part)):
        return
    erasure.completed_at = await _now(session)
    log.info("erasure_complete", lead_id=str(erasure.lead_id))
    if erasure.part_of is not None:
        await session.flush()
        await _complete_if_done(session, await find_erasure(session, erasure.part_of, lock=True))


async def _now(session: AsyncSession) -> datetime:
    now: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    return now
