"""Messages in: each event of the mailer's queue goes to one use case. No rules here."""

from functools import partial

from service_chassis.envelope import Envelope
from service_chassis.hearing import Handler
from shared_schemas.events import (
    Event,
    LeadAssigned,
    LeadErased,
    OutreachCancelled,
    OutreachRequested,
    ProspectLinkRequested,
)
from sqlalchemy.ext.asyncio import AsyncSession

from mailer_worker.use_cases.cancel_outreach import cancel_outreach
from mailer_worker.use_cases.erase_lead import erase_lead
from mailer_worker.use_cases.request_outreach import request_outreach
from mailer_worker.use_cases.store_delivery import store_delivery
from mailer_worker.use_cases.store_link_delivery import store_link_delivery


async def on_lead_assigned(session: AsyncSession, event: LeadAssigned, _envelope: Envelope) -> None:
    """An attorney owns the lead: the prospect gets a mail."""
    await store_delivery(session, event)


async def on_outreach_requested(
    session: AsyncSession, event: OutreachRequested, _envelope: Envelope, *, suppression_key: bytes
) -> None:
    """Staff want a mail sent."""
    await request_outreach(session, event, suppression_key)


async def on_outreach_cancelled(session: AsyncSession, event: OutreachCancelled, _envelope: Envelope) -> None:
    """Staff want no mail sent."""
    await cancel_outreach(session, event)


async def on_link_requested(session: AsyncSession, event: ProspectLinkRequested, _envelope: Envelope) -> None:
    """Somebody asked for the link of a prospect's address."""
    await store_link_delivery(session, event)


async def on_lead_erased(session: AsyncSession, event: LeadErased, _envelope: Envelope) -> None:
    """The person is to be forgotten."""
    await erase_lead(session, event)


def make_handlers(suppression_key: bytes) -> dict[type[Event], Handler]:
    """Which event goes where. The key is that of the suppression list."""
    return {
        LeadAssigned: on_lead_assigned,
        OutreachRequested: partial(on_outreach_requested, suppression_key=suppression_key),
        OutreachCancelled: on_outreach_cancelled,
        ProspectLinkRequested: on_link_requested,
        LeadErased: on_lead_erased,
    }
