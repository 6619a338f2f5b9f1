"""The private link that is mailed to a prospect's own address: asking for one, and what it opens.

Public routes whose token is the permission. It comes in a header, so that no log of addresses has it.
"""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Self
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Response
from pydantic import BaseModel, ConfigDict
from service_chassis.prospect_link import InvalidLinkError

from intake_api.exceptions import LinkNotFoundError
from intake_api.routes.context import Client, IntakeDesk, World
from intake_api.routes.schemas import Address, problems
from intake_api.use_cases.request_link import request_link
from intake_api.use_cases.take_allowance import take_allowance
from intake_api.use_cases.use_prospect_link import (
    ProspectLead,
    Standing,
    erase_leads,
    read_leads,
    revoke_links,
    withdraw_leads,
)

router = APIRouter(prefix="/api/v1", tags=["prospects"])


async def get_link_id(
    world: World,
    token: Annotated[
        str,
        Header(alias="Prospect-Link", description="What stands behind the # of the mailed link"),
    ] = "",
) -> UUID:
    """Which link is used. Raises LinkNotFoundError."""
    try:
        return world.link_tokens.read(token, datetime.now(UTC))
    except InvalidLinkError as error:
        raise LinkNotFoundError from error


LinkId = Annotated[UUID, Depends(get_link_id)]


class LinkWish(BaseModel):
    """The address that a link is asked for."""

    model_config = ConfigDict(extra="forbid")

    email: Address


class ProspectLeadBody(BaseModel):
    """A lead as its prospect sees it: nothing of who works on it, or when they had time."""

    standing: Standing
    received_at: datetime
    answered_at: datetime | None


class ProspectLeads(BaseModel):
    """All leads of the link's address, oldest first."""

    items: list[ProspectLeadBody]

    @classmethod
    def of(cls, leads: list[ProspectLead]) -> Self:
        """Encode them."""
        return cls(items=[ProspectLeadBody(**vars(lead)) for lead in leads])


class ErasedLeads(BaseModel):
    """How many leads were erased; every service deletes what it has within seconds."""

    leads: int


@router.post(
    "/prospects/links",
    status_code=202,
    response_class=Response,
    responses=problems(422, 429),
    summary="Ask for a link to one's own leads (public)",
)
async def post_prospect_link(world: World, client: Client, wish: LinkWish) -> Response:
    """Have a private link mailed to the address, if we know it. The answer is the same for every address."""
    email_key = wish.email.lower()
    await take_allowance(world.sessions, world.form.per_link(client, email_key))
    async with asyncio.timeout(world.settings.request_deadline):
        await request_link(world.sessions, email_key, world.settings.link_lifetime)
    return Response(status_code=202)


@router.get("/prospects/leads", response_model=ProspectLeads, responses=problems(404))
async def get_prospect_leads(world: World, link_id: LinkId) -> ProspectLeads:
    """Tell where the prospect's leads are."""
    return ProspectLeads.of(list(await read_leads(world.sessions, link_id)))


@router.post("/prospects/withdrawals", response_model=ProspectLeads, responses=problems(404))
async def post_prospect_withdrawal(world: World, link_id: LinkId) -> ProspectLeads:
    """End all leads that are not over: no mail that waits is sent, and nobody works on them. Again has no effect."""
    return ProspectLeads.of(list(await withdraw_leads(world.sessions, link_id)))


@router.post("/prospects/erasures", status_code=202, response_model=ErasedLeads, responses=problems(404, 409))
async def post_prospect_erasure(world: World, link_id: LinkId) -> ErasedLeads:
    """Erase all that the firm has of the prospect, and with it the link. 409: something has to be kept for now."""
    return ErasedLeads(leads=await erase_leads(world.sessions, link_id, world.form.hash_recipient))


@router.delete(
    "/leads/{lead_id}/prospect-links",
    status_code=204,
    responses=problems(401, 403, 404, 422),
    summary="Revoke the links of the lead's address",
)
async def delete_prospect_links(world: World, _caller: IntakeDesk, lead_id: UUID) -> Response:
    """Make all links that were mailed to the lead's address worth nothing."""
    await revoke_links(world.sessions, lead_id)
    return Response(status_code=204)
