"""Where events go: one topic exchange, one quorum queue per hearer and subject, one retry queue each.

Delay belongs to the broker: a rejected message waits in ``<queue>.retry`` for a fixed time and comes
back. ``x-delivery-limit`` is explicit and out of reach, because a delivery-limit death that leads back
into a retry cycle is held unreadable and for good; poison is handled by our own count instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from shared_schemas.events import (
    AttorneyChanged,
    Event,
    LeadAssigned,
    LeadClosed,
    LeadDataErased,
    LeadErased,
    LeadReachedOut,
    LeadReassigned,
    LeadRegistered,
    LeadReopened,
    LeadWaiting,
    MessageDeadLettered,
    OutreachCancelled,
    OutreachDeferred,
    OutreachFailed,
    OutreachRequested,
    ProspectLinkRequested,
)

EXCHANGE = "leads.events"
DELIVERY_LIMIT = 1_000_000
RETRY_DELAY_MS = 5_000

_SAFE: Mapping[str, str] = {
    "x-queue-type": "quorum",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


@dataclass(frozen=True)
class Queue:
    """A work queue and the events bound to it."""

    name: str
    events: tuple[type[Event], ...]

    @property
    def retry_name(self) -> str:
        """The queue in which rejected messages wait."""
        return f"{self.name}.retry"

    def routing_keys(self) -> tuple[str, ...]:
        """The keys this queue is bound with."""
        return tuple(event.routing_key() for event in self.events)

    def arguments(self) -> dict[str, str | int]:
        """Declaration arguments of the work queue."""
        return {
            **_SAFE,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": self.retry_name,
            "x-delivery-limit": DELIVERY_LIMIT,
        }

    def retry_arguments(self) -> dict[str, str | int]:
        """Declaration arguments of the retry queue (no consumer; its dead letters are the returns)."""
        return {
            **_SAFE,
            "x-message-ttl": RETRY_DELAY_MS,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": self.name,
            "x-delivery-limit": DELIVERY_LIMIT,
        }


ASSIGNMENT_LEADS = Queue("assignment.leads", (LeadRegistered, LeadReassigned, LeadReopened, LeadClosed, LeadErased))
ASSIGNMENT_ROSTER = Queue("assignment.roster", (AttorneyChanged,))
MAILER_OUTREACH = Queue(
    "mailer.outreach", (LeadAssigned, OutreachRequested, OutreachCancelled, ProspectLinkRequested, LeadErased)
)
INTAKE_LEAD_STATUS = Queue(
    "intake.lead-status",
    (LeadAssigned, LeadWaiting, LeadReachedOut, OutreachDeferred, OutreachFailed, LeadDataErased),
)
INTAKE_DEAD_LETTERS = Queue("intake.dead-letters", (MessageDeadLettered,))

QUEUES: tuple[Queue, ...] = (
    ASSIGNMENT_LEADS,
    ASSIGNMENT_ROSTER,
    MAILER_OUTREACH,
    INTAKE_LEAD_STATUS,
    INTAKE_DEAD_LETTERS,
)
