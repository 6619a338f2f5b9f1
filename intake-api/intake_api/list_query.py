"""Which leads a list or an export shows, and in which order: one set of filters for both."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, exists, func, literal_column, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from intake_api.caller import Caller
from intake_api.cursor import Cursor
from intake_api.lead_status import LeadStatus
from intake_api.models import LEAD_SEARCH_TEXT, Lead, Submission
from intake_api.repository import visible_to


class Sort(StrEnum):
    """The orders there are; ``-`` is descending. The id breaks ties in the same direction."""

    NEWEST = "-created_at"
    OLDEST = "created_at"
    LAST_CHANGED = "-updated_at"
    FIRST_CHANGED = "updated_at"
    LAST_NAME = "last_name"
    LAST_NAME_DESCENDING = "-last_name"
    STATUS = "status"
    STATUS_DESCENDING = "-status"


_COLUMNS: dict[str, InstrumentedAttribute[datetime] | InstrumentedAttribute[str]] = {
    "created_at": Lead.created_at,
    "updated_at": Lead.updated_at,
    "last_name": Lead.last_name,
    "status": Lead.status,
}


@dataclass(frozen=True)
class LeadQuery:
    """What is asked for. ``created_from`` is inclusive, ``created_to`` exclusive; ``words`` must all be found."""

    statuses: tuple[LeadStatus, ...] = ()
    attorney: UUID | None = None
    waiting: bool | None = None
    quarantined: bool | None = None
    practice_area: str | None = None
    source: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    words: tuple[str, ...] = ()
    sort: Sort = Sort.NEWEST

    def question(self) -> str:
        """What a cursor is bound to."""
        return repr(self)

    def cursor_of(self, lead: Lead) -> Cursor:
        """The cursor of a page that ends with this lead."""
        return Cursor(getattr(lead, self._column), lead.id)

    @property
    def _column(self) -> str:
        return self.sort.value.removeprefix("-")

    @property
    def _descending(self) -> bool:
        return self.sort.value.startswith("-")

    def rows(self, caller: Caller, *, after: Cursor | None = None) -> Select[Lead]:
        """The leads that the caller sees, in order, after the cursor's."""
        column = _COLUMNS[self._column]
        query = select(Lead).where(*self.conditions(caller))
        if after is not None:
            place, last = tuple_(column, Lead.id), tuple_(after.value, after.lead_id)
            query = query.where(place < last if self._descending else place > last)
        if self._descending:
            return query.order_by(column.desc(), Lead.id.desc())
        return query.order_by(column, Lead.id)

    def conditions(self, caller: Caller) -> Sequence[ColumnElement[bool]]:
        """All that a lead must meet."""
        found: list[ColumnElement[bool]] = [visible_to(caller)]
        if self.statuses:
            found.append(Lead.status.in_(self.statuses))
        if self.attorney is not None:
            found.append(Lead.assigned_to == self.attorney)
        if self.waiting is not None:
            found.append(Lead.waiting_reason.is_not(None) if self.waiting else Lead.waiting_reason.is_(None))
        if self.quarantined is not None:
            is_quarantined = Lead.status == LeadStatus.QUARANTINED
            found.append(is_quarantined if self.quarantined else ~is_quarantined)
        if self.practice_area is not None:
            found.append(Lead.practice_area == self.practice_area)
        if self.source is not None:
            found.append(exists().where(Submission.lead_id == Lead.id, Submission.source == self.source))
        if self.created_from is not None:
            found.append(Lead.created_at >= self.created_from)
        if self.created_to is not None:
            found.append(Lead.created_at < self.created_to)
        searched: ColumnElement[str] = literal_column(LEAD_SEARCH_TEXT)
        found.extend(searched.contains(word.lower(), autoescape=True) for word in self.words)
        return found


async def page_of_leads(
    session: AsyncSession, caller: Caller, query: LeadQuery, *, limit: int, offset: int = 0, after: Cursor | None = None
) -> tuple[Sequence[Lead], bool]:
    """Up to ``limit`` leads, and whether more follow."""
    rows = query.rows(caller, after=after).limit(limit + 1).offset(offset)
    leads = (await session.scalars(rows)).all()
    return leads[:limit], len(leads) > limit


async def count_leads(session: AsyncSession, caller: Caller, query: LeadQuery) -> int:
    """How many leads there are on all pages."""
    counted = select(func.count()).select_from(Lead).where(and_(*query.conditions(caller)))
    return int(await session.scalar(counted) or 0)
