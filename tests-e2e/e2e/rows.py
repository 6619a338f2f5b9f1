"""What the checker judges, in plain rows: the form of the evidence, whoever gathered it."""

from dataclasses import dataclass, field

from e2e.histories import WELCOME, History
from e2e.mailboxes import SinkMail

OPEN = frozenset({"registered", "assigned", "reached_out", "outreach_failed"})


@dataclass(frozen=True)
class SubmissionRow:
    id: str
    lead_id: str
    address: str
    resume_key: str = ""
    """Empty when the prospect has withdrawn the resume."""
    resume_sha256: str = ""


@dataclass(frozen=True)
class LeadRow:
    id: str
    address: str
    status: str
    is_new: bool = True
    """Whether it was made in this scenario, and not only written to."""
    owner: str | None = None
    waiting_reason: str | None = None
    next_mail: str | None = None
    """When the next mail attempt comes; None when it should have been, and when none is known."""


@dataclass(frozen=True)
class DeliveryRow:
    id: str
    lead_id: str
    address: str
    state: str
    ambiguous: bool = False
    ambiguous_attempts: int = 0
    message_id: str | None = None
    kind: str = WELCOME
    asked_for: bool = False
    """Whether a person, or the prospect, has asked for this mail."""


@dataclass(frozen=True)
class AssignmentRow:
    lead_id: str
    attorney_id: str
    active: bool = True
    worker: str = ""


@dataclass
class Evidence:
    """Everything that the checker looks at. Addresses are lower-cased, hashes are hex."""

    submissions: list[SubmissionRow] = field(default_factory=list)
    keys: dict[str, str | None] = field(default_factory=dict)
    """Hash of an Idempotency-Key -> submission id, None while it runs."""
    leads: list[LeadRow] = field(default_factory=list)
    shown: dict[str, tuple[str, str | None]] | None = None
    """What staff are shown of the new leads: status and owner by lead; None when nobody asked."""
    histories: dict[str, History] = field(default_factory=dict)
    """Lead -> what its timeline and the audit say of it."""
    assignment_states: dict[str, str] = field(default_factory=dict)
    assignments: list[AssignmentRow] = field(default_factory=list)
    load_counters: dict[str, int] = field(default_factory=dict)
    load_counts: dict[str, int] = field(default_factory=dict)
    intake_loads: dict[str, int] = field(default_factory=dict)
    deliveries: list[DeliveryRow] = field(default_factory=list)
    mails: list[SinkMail] = field(default_factory=list)
    objects: dict[str, str] = field(default_factory=dict)
    """Object key -> sha256, or "" when it is there but was not read."""
    orphans: list[str] = field(default_factory=list)
    """Objects without a row that the sweeper has not removed in its time."""
    undrained: dict[str, int] = field(default_factory=dict)
    """Outboxes and queues that are not empty, and mails that are neither sent nor given up."""
    dead_letters: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    """Where words of a prospect are that must not be there."""
