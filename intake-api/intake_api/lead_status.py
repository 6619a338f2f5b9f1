"""The life of a lead: which moves there are and who may make them (docs/design.md, Life of a lead). Pure."""

from enum import StrEnum


class LeadStatus(StrEnum):
    """Where a lead is in its life."""

    QUARANTINED = "quarantined"
    DISCARDED = "discarded"
    REGISTERED = "registered"
    ASSIGNED = "assigned"
    REACHED_OUT = "reached_out"
    OUTREACH_FAILED = "outreach_failed"
    RETAINED = "retained"
    DECLINED = "declined"


OPEN = frozenset({LeadStatus.REGISTERED, LeadStatus.ASSIGNED, LeadStatus.REACHED_OUT, LeadStatus.OUTREACH_FAILED})
"""A lead in one of these counts as its owner's work."""

RELAY_AWAY = "relay_away"
"""Why a mail waits whose next attempt nobody can date: the mail server is away."""

CLOSED = frozenset({LeadStatus.RETAINED, LeadStatus.DECLINED})
"""Work is over; staff may reopen it."""

WANTS_OUTREACH = frozenset({LeadStatus.REGISTERED, LeadStatus.ASSIGNED})
"""The welcome mail is still wanted."""

_REACHABLE = frozenset({LeadStatus.REGISTERED, LeadStatus.ASSIGNED, LeadStatus.OUTREACH_FAILED})

_STAFF_MOVES: dict[LeadStatus, tuple[LeadStatus, ...]] = {
    LeadStatus.QUARANTINED: (LeadStatus.REGISTERED, LeadStatus.DISCARDED),
    LeadStatus.DISCARDED: (),
    LeadStatus.REGISTERED: (LeadStatus.ASSIGNED, LeadStatus.REACHED_OUT, LeadStatus.DECLINED),
    LeadStatus.ASSIGNED: (LeadStatus.REACHED_OUT, LeadStatus.DECLINED),
    LeadStatus.OUTREACH_FAILED: (LeadStatus.REACHED_OUT, LeadStatus.DECLINED),
    LeadStatus.REACHED_OUT: (LeadStatus.RETAINED, LeadStatus.DECLINED),
}


def staff_moves(status: LeadStatus, *, was_reached: bool, has_owner: bool) -> tuple[LeadStatus, ...]:
    """The statuses staff may move a lead to. A closed lead has one: the status it reopens in."""
    if status in CLOSED:
        return (reopened_status(was_reached=was_reached, has_owner=has_owner),)
    return _STAFF_MOVES[status]


def reopened_status(*, was_reached: bool, has_owner: bool) -> LeadStatus:
    """Where a closed lead goes on."""
    if not has_owner:
        return LeadStatus.REGISTERED
    return LeadStatus.REACHED_OUT if was_reached else LeadStatus.ASSIGNED


def after_assigned(status: LeadStatus) -> LeadStatus:
    """The status after LeadAssigned: never lowered."""
    return LeadStatus.ASSIGNED if status is LeadStatus.REGISTERED else status


def after_waiting(status: LeadStatus) -> LeadStatus:
    """The status after a newer LeadWaiting took the owner away."""
    return LeadStatus.REGISTERED if status is LeadStatus.ASSIGNED else status


def after_reached_out(status: LeadStatus) -> LeadStatus:
    """The status after a welcome mail was accepted by the relay; closed leads stay closed."""
    return LeadStatus.REACHED_OUT if status in _REACHABLE else status


def after_outreach_failed(status: LeadStatus) -> LeadStatus:
    """The status after the welcome mail was given up; a reached or closed lead stays what it is."""
    return LeadStatus.OUTREACH_FAILED if status in WANTS_OUTREACH else status
