"""What lists and exports are asked, and what a page says."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator

from intake_api.lead_status import LeadStatus
from intake_api.list_query import LeadQuery, Sort
from intake_api.plain_text import PLAIN_NOT_BLANK_PATTERN, plain_text
from intake_api.routes.schemas import Instant, LeadBody, PlainText, ShortText
from intake_api.signer import LONGEST

LARGEST_LIMIT = 500
LARGEST_LEAD_OFFSET = 1_000_000
MOST_WORDS = 5

SearchText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=2, max_length=100),
    AfterValidator(plain_text),
    Field(json_schema_extra={"pattern": PLAIN_NOT_BLANK_PATTERN}),
]


class LeadFilter(BaseModel):
    """Filters, all of which a lead must meet. An unknown parameter is an error: it would show too much."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    status: list[LeadStatus] = Field([], max_length=len(LeadStatus), description="One of these; may be repeated")
    attorney: UUID | None = Field(None, description="Leads of this owner")
    waiting: bool | None = Field(None, description="Whether the lead waits because nobody may take it")
    quarantined: bool | None = Field(None, description="Whether the lead is quarantined")
    practice_area: ShortText | None = Field(None, description="Leads of this practice area")
    source: PlainText | None = Field(None, min_length=1, description="Leads with a submission from this source")
    created_from: Instant | None = Field(
        None, description="Registered at this time or later (RFC 3339)", examples=["2026-01-01T00:00:00Z"]
    )
    created_to: Instant | None = Field(None, description="Registered before this time (RFC 3339)")
    q: SearchText | None = Field(
        None, description=f"Up to {MOST_WORDS} words, each somewhere in name or address", examples=["doe"]
    )
    sort: Sort = Field(Sort.NEWEST, description="The order; - is descending")

    @field_validator("q")
    @classmethod
    def _refuse_many_words(cls, value: str | None) -> str | None:
        if value is not None and len(value.split()) > MOST_WORDS:
            raise ValueError(f"may have at most {MOST_WORDS} words")
        return value

    def query(self) -> LeadQuery:
        """The filters as the database is asked."""
        return LeadQuery(
            statuses=tuple(sorted(set(self.status))),
            attorney=self.attorney,
            waiting=self.waiting,
            quarantined=self.quarantined,
            practice_area=self.practice_area,
            source=self.source,
            created_from=self.created_from,
            created_to=self.created_to,
            words=tuple((self.q or "").split()),
            sort=self.sort,
        )


class LeadListQuery(LeadFilter):
    """Filters and a page, by ``offset`` or by ``cursor``."""

    limit: int = Field(20, ge=1, le=LARGEST_LIMIT, description="Leads on a page")
    offset: int = Field(
        0, ge=0, le=LARGEST_LEAD_OFFSET, description="Leads to pass over; for many pages take `cursor` instead"
    )
    cursor: str | None = Field(
        None, min_length=1, max_length=LONGEST, description="`next_cursor` of the page before, with the same filters"
    )
    fields: str | None = Field(
        None,
        min_length=1,
        max_length=500,
        description="Only these fields, by commas; `id` is always there",
        examples=["first_name,last_name,status"],
    )
    total: bool = Field(True, description="Whether to count all pages; false is faster")

    @field_validator("fields")
    @classmethod
    def _refuse_unknown_fields(cls, value: str | None) -> str | None:
        unknown = [name for name in (value or "").split(",") if value and name not in LeadBody.model_fields]
        if unknown:
            raise ValueError(f"may name {', '.join(LeadBody.model_fields)}")
        return value

    @property
    def chosen_fields(self) -> set[str] | None:
        """The fields to show; None: all."""
        return {"id", *self.fields.split(",")} if self.fields else None


class LeadSelection(BaseModel):
    """A lead with the fields that were asked for."""

    model_config = ConfigDict(extra="allow")

    id: UUID


class LeadPage(BaseModel):
    """A page of leads. ``total`` is null when it was not asked for, ``next_cursor`` on the last page."""

    items: list[LeadBody] | list[LeadSelection]
    total: int | None
    limit: int
    offset: int
    next_cursor: str | None = None


def selected(lead: LeadBody, fields: set[str]) -> LeadSelection:
    """The lead with only these fields."""
    values: dict[str, Any] = lead.model_dump(include=fields)
    return LeadSelection(**values)
