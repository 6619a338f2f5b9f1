"""The events of the system, one frozen class per event and version.

Contracts only grow: readers ignore fields they do not know, and every golden message under
``tests/golden`` must parse for ever. Events carry the contact data their hearer needs (name and
address) and never a resume, phone number, message or note.

The envelope (event id, type, time, correlation id) is AMQP's own properties: see `envelope`.
"""

from datetime import datetime
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

OutreachKind = Literal["welcome"]
WaitingReason = Literal["nobody_available", "all_at_capacity", "all_conflicted"]
FailureReason = Literal["refused", "expired", "suppressed", "held"]

NonNegative = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


class Contract(BaseModel):
    """A value that crosses a service border: immutable, tolerant of fields added later."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Event(Contract):
    """A fact about the past. ``type`` carries the version: ``lead.registered.v1``."""

    type: ClassVar[str]

    @classmethod
    def routing_key(cls) -> str:
        """The type without its version: hearers bind to the subject, not to a version of it."""
        return cls.type.rsplit(".v", 1)[0]


class LeadEvent(Event):
    """An event about one lead, placed in that lead's history by ``epoch``.

    intake-api owns ``epoch``: 0 at registration, one more per reassignment, close, reopen and erasure.
    """

    lead_id: UUID
    epoch: NonNegative


class AttorneyRef(Contract):
    """The attorney as a prospect sees them."""

    id: UUID
    name: str
    email: str


class Absence(Contract):
    """A span of time (UTC, end exclusive) in which an attorney takes no new leads."""

    id: UUID
    starts_at: AwareDatetime
    ends_at: AwareDatetime


class Candidate(Contract):
    """An eligible attorney as the choice saw them."""

    attorney_id: UUID
    open_leads: NonNegative
    capacity: int | None = None
    last_assigned_at: datetime | None = None


class Explanation(Contract):
    """Why this attorney, or why nobody: enough to answer without asking the assignment-worker.

    ``candidates`` holds at most the 20 best; ``eligible`` counts them all; ``excluded`` counts the
    others by reason. No personal data of the lead.
    """

    rule: str
    chosen_by: Literal["policy", "person"]
    tie_break: str | None = None
    eligible: NonNegative = 0
    candidates: tuple[Candidate, ...] = ()
    excluded: dict[str, int] = Field(default_factory=dict)
    note: str | None = None


class LeadState(LeadEvent):
    """What intake-api states of a lead that wants an owner; whichever comes first creates it elsewhere.

    ``attorney`` is a person's choice. ``outreach`` is true while intake-api still wants the welcome mail.
    ``decision_seen`` is the greatest decision number intake-api has applied.
    """

    decision_seen: NonNegative = 0
    outreach: bool = True
    first_name: str
    last_name: str
    email: str
    practice_area: str | None = None
    language: str | None = None
    keep_attorney_id: UUID | None = None
    attorney: AttorneyRef | None = None
    registered_at: AwareDatetime


class LeadRegistered(LeadState):
    """A lead was stored and wants an attorney."""

    type: ClassVar[str] = "lead.registered.v1"


class LeadReassigned(LeadState):
    """A person chose another owner (``attorney``), or asked for a new choice (none)."""

    type: ClassVar[str] = "lead.reassigned.v1"


class LeadReopened(LeadState):
    """A closed lead is open again."""

    type: ClassVar[str] = "lead.reopened.v1"


class LeadClosed(LeadEvent):
    """A lead was retained or declined: it no longer counts as work."""

    type: ClassVar[str] = "lead.closed.v1"
    decision_seen: NonNegative = 0


class LeadErased(LeadEvent):
    """A lead's personal data must go; a tombstone stays, final, in every hearer."""

    type: ClassVar[str] = "lead.erased.v1"
    decision_seen: NonNegative = 0


class LeadAssigned(LeadEvent):
    """An attorney owns the lead, by decision number ``decision`` of this lead."""

    type: ClassVar[str] = "lead.assigned.v1"
    decision: Positive
    outreach: bool
    first_name: str
    last_name: str
    email: str
    attorney: AttorneyRef
    explanation: Explanation
    assigned_at: AwareDatetime


class LeadWaiting(LeadEvent):
    """Nobody may take the lead now; said once per change of reason."""

    type: ClassVar[str] = "lead.waiting.v1"
    decision: Positive
    reason: WaitingReason
    explanation: Explanation


class AttorneyChanged(Event):
    """The attorney as of ``version``; a hearer keeps the greatest version it has seen."""

    type: ClassVar[str] = "attorney.changed.v1"
    attorney_id: UUID
    version: Positive
    name: str
    email: str
    available: bool
    capacity: NonNegative | None = None
    practice_areas: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    absences: tuple[Absence, ...] = ()


class OutreachRequested(LeadEvent):
    """Staff want a mail sent (again).

    ``after_delivery_id``: the sent mail that intake-api knew of, null for none; only that one is followed by another.
    A message without the field is older than it, and follows whatever was sent.
    """

    type: ClassVar[str] = "outreach.requested.v1"
    request_id: UUID
    kind: OutreachKind
    first_name: str
    last_name: str
    email: str
    attorney: AttorneyRef
    after_delivery_id: UUID | None = None


class OutreachCancelled(LeadEvent):
    """The mail is no longer wanted for any assignment up to ``epoch``."""

    type: ClassVar[str] = "outreach.cancelled.v1"
    kind: OutreachKind


class ProspectLinkRequested(Event):
    """Somebody asked for the private link of a prospect's address: it is mailed to that address, and told nobody else.

    The link itself is in no event: whoever mails it makes it of ``link_id``, ``expires_at`` and a key.
    """

    type: ClassVar[str] = "prospect-link.requested.v1"
    link_id: UUID
    lead_id: UUID
    email: str
    expires_at: AwareDatetime


class DeliveryEvent(Event):
    """What became of one delivery of one kind of mail to one lead."""

    lead_id: UUID
    delivery_id: UUID
    kind: OutreachKind


class LeadReachedOut(DeliveryEvent):
    """The relay took responsibility for the mail (SMTP 250). ``attorney_id`` is whom the mail introduced."""

    type: ClassVar[str] = "lead.reached-out.v1"
    attorney_id: UUID
    message_id: str
    attempts: Positive
    ambiguous: bool
    sent_at: AwareDatetime


class OutreachDeferred(DeliveryEvent):
    """The mail waits. ``next_attempt_at`` is absent while the relay is away."""

    type: ClassVar[str] = "outreach.deferred.v1"
    attempt: NonNegative
    reason: str
    ambiguous: bool
    next_attempt_at: AwareDatetime | None = None


class OutreachFailed(DeliveryEvent):
    """The mail will not be tried again without a person."""

    type: ClassVar[str] = "outreach.failed.v1"
    reason: FailureReason
    smtp_code: int | None = None
    attempts: NonNegative


class LeadDataErased(Event):
    """A service holds no personal data of the lead any more. ``counts``: rows removed, by table."""

    type: ClassVar[str] = "lead.data-erased.v1"
    lead_id: UUID
    service: str
    counts: dict[str, int]


class MessageDeadLettered(Event):
    """A hearer gave a message up. ``body``: its raw bytes (at most 64 KiB; base64 in JSON); never the error's text.

    ``body_sha256``: of the whole body, in hexadecimal; tells messages without an id apart.
    """

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    type: ClassVar[str] = "message.dead-lettered.v1"
    queue: str
    message_id: str | None = None
    message_type: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    correlation_id: str | None = None
    lead_id: UUID | None = None
    attempts: NonNegative
    error_type: str
    error_place: str
    body: bytes
    body_truncated: bool = False
    body_sha256: str | None = None


EVENTS: tuple[type[Event], ...] = (
    LeadRegistered,
    LeadReassigned,
    LeadReopened,
    LeadClosed,
    LeadErased,
    LeadAssigned,
    LeadWaiting,
    AttorneyChanged,
    OutreachRequested,
    OutreachCancelled,
    ProspectLinkRequested,
    LeadReachedOut,
    OutreachDeferred,
    OutreachFailed,
    LeadDataErased,
    MessageDeadLettered,
)
"""Every event of the system, from a lead's registration to the message that was given up."""
