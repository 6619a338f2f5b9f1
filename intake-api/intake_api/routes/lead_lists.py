"""Lists of leads: pages by offset or cursor, and the whole as CSV, over the same filters."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from service_chassis.database import Sessions
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import StreamingResponse

from intake_api.caller import Caller
from intake_api.csv_cells import csv_lines
from intake_api.cursor import Cursor
from intake_api.list_query import LeadQuery, count_leads, page_of_leads
from intake_api.models import Lead
from intake_api.query_cost import bounded
from intake_api.routes.context import IntakeDesk, LeadReader, World
from intake_api.routes.list_schemas import LeadFilter, LeadListQuery, LeadPage, selected
from intake_api.routes.schemas import LeadBody, problems

router = APIRouter(prefix="/api/v1/leads", tags=["leads"])

EXPORT_BATCH = 500
EXPORT_COLUMNS = (
    "id",
    "created_at",
    "updated_at",
    "status",
    "first_name",
    "last_name",
    "email",
    "assigned_to",
    "reached_out_by",
    "waiting_reason",
    "outreach_reason",
)
_LINK_HEADER = {"headers": {"Link": {"description": "Pages beside this one (RFC 8288)", "schema": {"type": "string"}}}}


@router.get("", response_model=LeadPage, responses={200: _LINK_HEADER, **problems(401, 403, 422, 429, 503)})
async def get_leads(
    world: World, caller: LeadReader, asked: Annotated[LeadListQuery, Query()], request: Request, response: Response
) -> LeadPage:
    """List leads, newest first unless asked otherwise."""
    query = asked.query()
    after = Cursor.read(world.signer, query.question(), asked.cursor) if asked.cursor else None
    offset = 0 if after else asked.offset
    async with world.sessions() as session, bounded():
        leads, has_more = await page_of_leads(session, caller, query, limit=asked.limit, offset=offset, after=after)
        total = await count_leads(session, caller, query) if asked.total else None
    next_cursor = query.cursor_of(leads[-1]).sign(world.signer, query.question()) if has_more else None
    response.headers["Link"] = _links(request, asked, next_cursor, total)
    bodies = [LeadBody.of(lead) for lead in leads]
    fields = asked.chosen_fields
    return LeadPage(
        items=bodies if fields is None else [selected(body, fields) for body in bodies],
        total=total,
        limit=asked.limit,
        offset=offset,
        next_cursor=next_cursor,
    )


@router.get(
    "/export.csv",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "All leads that meet the filters",
            "content": {"text/csv": {"schema": {"type": "string"}}},
        },
        **problems(401, 403, 422, 503),
    },
)
async def get_leads_csv(world: World, caller: IntakeDesk, asked: Annotated[LeadFilter, Query()]) -> Response:
    """Export leads as CSV (RFC 4180). A cell that a spreadsheet could run begins with an apostrophe."""
    query = asked.query()
    async with world.sessions() as session, bounded():
        first = await page_of_leads(session, caller, query, limit=EXPORT_BATCH)
    return StreamingResponse(
        _exported(world.sessions, caller, query, first),
        media_type="text/csv; charset=utf-8; header=present",
        headers={"Content-Disposition": 'attachment; filename="leads.csv"'},
    )


async def _exported(
    sessions: Sessions, caller: Caller, query: LeadQuery, first: tuple[Sequence[Lead], bool]
) -> AsyncIterator[str]:
    """Yield the header line, then batches, each read in a transaction of its own.

    A client that reads slowly holds no connection, snapshot or lock: PostgreSQL would end it after 5 idle seconds.
    """
    leads, has_more = first
    yield csv_lines([EXPORT_COLUMNS])
    yield csv_lines(_cells(lead) for lead in leads)
    while has_more:
        async with sessions() as session:
            leads, has_more = await _next_batch(session, caller, query, leads[-1])
        yield csv_lines(_cells(lead) for lead in leads)


async def _next_batch(
    session: AsyncSession, caller: Caller, query: LeadQuery, last: Lead
) -> tuple[Sequence[Lead], bool]:
    return await page_of_leads(session, caller, query, limit=EXPORT_BATCH, after=query.cursor_of(last))


def _cells(lead: Lead) -> list[str]:
    return [_cell(getattr(lead, column)) for column in EXPORT_COLUMNS]


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _links(request: Request, asked: LeadListQuery, next_cursor: str | None, total: int | None) -> str:
    """The Link header: pages by cursor when a cursor was used, else by offset."""

    def link(rel: str, **page: str | int) -> str:
        kept = [(k, v) for k, v in request.query_params.multi_items() if k not in {"offset", "cursor"}]
        return f'<{request.url.path}?{urlencode([*kept, *page.items()])}>; rel="{rel}"'

    links = [link("first", **({} if asked.cursor else {"offset": 0}))]
    if asked.cursor:
        return ", ".join([*links, link("next", cursor=next_cursor)] if next_cursor else links)
    if asked.offset > 0:
        links.append(link("prev", offset=max(0, asked.offset - asked.limit)))
    if next_cursor:
        links.append(link("next", offset=asked.offset + asked.limit))
    if total:
        links.append(link("last", offset=(total - 1) // asked.limit * asked.limit))
    return ", ".join(links)
