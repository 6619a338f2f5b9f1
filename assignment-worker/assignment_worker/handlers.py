"""Messages in: which event starts which use case. No rules here."""

from collections.abc import Callable

from service_chassis.envelope import Envelope
from service_chassis.hearing import Handler, Subscription
from shared_schemas.events import (
    AttorneyChanged,
    Event,
    LeadClosed,
    LeadErased,
    LeadReassigned,
    LeadRegistered,
    LeadReopened,
    LeadState,
)
from shared_schemas.topology import ASSIGNMENT_LEADS, ASSIGNMENT_ROSTER
from sqlalchemy.ext.asyncio import AsyncSession

from assignment_worker.use_cases.apply_attorney import apply_attorney
from assignment_worker.use_cases.apply_lead_state import apply_lead_state
from assignment_worker.use_cases.close_lead import close_lead
from assignment_worker.use_cases.erase_lead import erase_lead


def subscriptions(worker: str, wake: Callable[[], None]) -> tuple[Subscription, ...]:
    """What the assignment-worker hears. ``worker`` signs its decisions; ``wake`` wakes this process' chooser."""

    async def lead_state(session: AsyncSession, event: LeadState, _envelope: Envelope) -> None:
        await apply_lead_state(session, event, worker)

    async def closed(session: AsyncSession, event: LeadClosed, _envelope: Envelope) -> None:
        await close_lead(session, event)

    async def erased(session: AsyncSession, event: LeadErased, _envelope: Envelope) -> None:
        await erase_lead(session, event)

    async def attorney_changed(session: AsyncSession, event: AttorneyChanged, _envelope: Envelope) -> None:
        await apply_attorney(session, event)

    leads: dict[type[Event], Handler] = {
        LeadRegistered: lead_state,
        LeadReassigned: lead_state,
        LeadReopened: lead_state,
        LeadClosed: closed,
        LeadErased: erased,
    }
    return (
        Subscription(ASSIGNMENT_LEADS, leads, after_commit=wake),
        Subscription(ASSIGNMENT_ROSTER, {AttorneyChanged: attorney_changed}, after_commit=wake),
    )
