"""What the API says and takes, as JSON."""

import re
from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from intake_api.address import parse_address
from intake_api.lead_status import LeadStatus
from intake_api.models import Attorney, Lead, Submission, TimelineEntry
from intake_api.plain_text import PLAIN_NOT_BLANK_PATTERN, PLAIN_PATTERN, plain_text
from intake_api.receipt_link import ReceiptLink, reference_of
from intake_api.signer import Signer
from intake_api.use_cases.register_lead import Registered

ShortText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(plain_text),
    Field(json_schema_extra={"pattern": PLAIN_NOT_BLANK_PATTERN}),
]
PlainText = Annotated[
    str,
    StringConstraints(max_length=200),
    AfterValidator(plain_text),
    Field(json_schema_extra={"pattern": PLAIN_PATTERN}),
]


def _refuse_what_is_no_timestamp(value: object) -> object:
    """Numbers are seconds or milliseconds to pydantic, whichever it guesses."""
    if isinstance(value, datetime) or (isinstance(value, str) and _TIMESTAMP.match(value)):
        return value
    raise ValueError("must be a time with its offset (RFC 3339), such as 2026-01-31T09:30:00Z")


_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}")
Instant = Annotated[AwareDatetime, BeforeValidator(_refuse_what_is_no_timestamp)]
Address = Annotated[str, AfterValidator(parse_address)]
LARGEST_OFFSET = 2**31 - 1


def resume_url(lead_id: UUID) -> str:
    """The API's own route for a lead's resume, relative to its origin (RFC 3986 s. 4.2)."""
    return f"/api/v1/leads/{lead_id}/resume"


class SubmissionBody(BaseModel):
    """One POST of the prospect; ``resume_url`` serves its own document."""

    id: UUID
    reference: str
    received_at: datetime
    resume_filename: str
    resume_size: int
    resume_url: str
    resume_state: str
    resume_flags: list[str]
    first_name: str
    last_name: str
    phone: str | None
    message: str | None
    practice_area: str | None
    language: str | None
    source: str | None
    referrer: str | None
    campaign: str | None
    consent_version: str | None
    consent_text: str | None
    consent_at: datetime | None

    @classmethod
    def of(cls, row: Submission) -> Self:
        """Encode a submission."""
        return cls(
            id=row.id,
            reference=reference_of(row.id),
            received_at=row.received_at,
            resume_filename=row.resume_filename,
            resume_size=row.resume_size,
            resume_url=f"{resume_url(row.lead_id)}?submission={row.id}",
            resume_state=row.resume_state,
            resume_flags=row.resume_flags,
            first_name=row.first_name,
            last_name=row.last_name,
            phone=row.phone,
            message=row.message,
            practice_area=row.practice_area,
            language=row.language,
            source=row.source,
            referrer=row.referrer,
            campaign=row.campaign,
            consent_version=row.consent_version,
            consent_text=row.consent_text,
            consent_at=row.consent_at,
        )


class LeadBody(BaseModel):
    """A lead and where it stands."""

    id: UUID
    first_name: str
    last_name: str
    email: str
    status: LeadStatus
    resume_url: str
    practice_area: str | None = None
    language: str | None = None
    quarantine_reasons: list[str] = []
    merged_into: UUID | None = None
    assigned_to: UUID | None = None
    reached_out_by: UUID | None = None
    waiting_reason: str | None = None
    waiting_since: datetime | None = None
    next_outreach_at: datetime | None = None
    outreach_reason: str | None = None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, lead: Lead) -> Self:
        """Encode a lead for staff."""
        return cls(
            id=lead.id,
            first_name=lead.first_name,
            last_name=lead.last_name,
            email=lead.email,
            status=LeadStatus(lead.status),
            resume_url=resume_url(lead.id),
            practice_area=lead.practice_area,
            language=lead.language,
            quarantine_reasons=lead.quarantine_reasons,
            merged_into=lead.merged_into,
            assigned_to=lead.assigned_to,
            reached_out_by=lead.reached_out_by,
            waiting_reason=lead.waiting_reason,
            waiting_since=lead.waiting_since,
            next_outreach_at=lead.outreach_next_at,
            outreach_reason=lead.outreach_reason,
            created_at=lead.created_at,
            updated_at=lead.updated_at,
        )


class SubmittedLead(LeadBody):
    """The public answer to a submission, with its receipt: ``reference`` to name it, ``receipt_url`` to come back.

    Whoever has ``receipt_url`` may use it: it is the prospect's alone.
    """

    reference: str
    receipt_url: str

    @classmethod
    def receipt(cls, registered: Registered, signer: Signer) -> Self:
        """Encode the public answer: the same for known and new addresses."""
        return cls(
            id=registered.lead_id,
            first_name=registered.first_name,
            last_name=registered.last_name,
            email=registered.email,
            status=LeadStatus.REGISTERED,
            resume_url=resume_url(registered.lead_id),
            created_at=registered.received_at,
            updated_at=registered.received_at,
            reference=reference_of(registered.submission_id),
            receipt_url=ReceiptLink(registered.submission_id).url(signer),
        )


class LeadDetail(LeadBody):
    """A lead with everything its prospect submitted."""

    submissions: list[SubmissionBody] = []


class LeadPatch(BaseModel):
    """What staff may change. ``assigned_to: null`` asks for a new automatic choice."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"minProperties": 1, "examples": [{"status": "declined"}]}
    )

    status: LeadStatus | None = None
    reached_out_by: UUID | None = None
    assigned_to: UUID | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.status is None and self.reached_out_by is None and "assigned_to" not in self.model_fields_set:
            raise ValueError("give at least one of status, reached_out_by, assigned_to")
        return self


class TimelineEntryBody(BaseModel):
    """Something that happened to a lead."""

    at: datetime
    type: str
    actor: str
    event_id: str
    detail: dict[str, Any]

    @classmethod
    def of(cls, entry: TimelineEntry) -> Self:
        """Encode a timeline row."""
        return cls(at=entry.at, type=entry.type, actor=entry.actor, event_id=entry.event_id, detail=entry.detail)


class TimelineBody(BaseModel):
    """What happened to a lead, oldest first."""

    items: list[TimelineEntryBody]


class AbsenceBody(BaseModel):
    """A time in which an attorney takes no new leads (end exclusive)."""

    id: UUID | None = None
    starts_at: Instant
    ends_at: Instant

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.ends_at <= self.starts_at:
            raise ValueError("ends_at must be after starts_at")
        return self


class AttorneyFields(BaseModel):
    """What can be said of an attorney. ``capacity: null`` means no limit."""

    model_config = ConfigDict(extra="forbid")

    available: bool = True
    capacity: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    practice_areas: Annotated[list[ShortText], Field(max_length=50)] = []
    languages: Annotated[list[ShortText], Field(max_length=50)] = []
    absences: Annotated[list[AbsenceBody], Field(max_length=100)] = []


class NewAttorney(AttorneyFields):
    """An attorney to add."""

    name: ShortText
    email: Address


class AttorneyPatch(AttorneyFields):
    """What to change of an attorney; what is absent stays."""

    name: ShortText = ""
    email: Address = ""

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("give at least one field to change")
        return self


class AttorneyBody(BaseModel):
    """An attorney and their current workload."""

    id: UUID
    name: str
    email: str
    available: bool
    capacity: int | None
    practice_areas: list[str]
    languages: list[str]
    absences: list[AbsenceBody]
    open_leads: int
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, attorney: Attorney, open_leads: int) -> Self:
        """Encode an attorney."""
        return cls(
            id=attorney.id,
            name=attorney.name,
            email=attorney.email,
            available=attorney.available,
            capacity=attorney.capacity,
            practice_areas=attorney.practice_areas,
            languages=attorney.languages,
            absences=[AbsenceBody.model_validate(absence) for absence in attorney.absences],
            open_leads=open_leads,
            created_at=attorney.created_at,
            updated_at=attorney.updated_at,
        )


class AttorneyList(BaseModel):
    """All attorneys, by name."""

    items: list[AttorneyBody]


class Problem(BaseModel):
    """Problem details (RFC 9457); ``errors`` names every wrong field."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] | None = None


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI description of a route's problem answers."""
    content: dict[str, Any] = {"application/problem+json": {}}
    return {status: {"model": Problem, "content": content} for status in statuses}
