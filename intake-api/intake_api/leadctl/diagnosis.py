"""Where a lead stopped, told from what each service knows of it. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from intake_api.lead_status import OPEN

NOT_HEARD_BY_ASSIGNMENT = "between intake-api and assignment-worker: LeadRegistered was not heard"
NOT_HEARD_BY_MAILER = "between assignment-worker and mailer-worker: LeadAssigned was not heard"
OUTCOME_NOT_HEARD = "between mailer-worker and intake-api: the outcome of the mail was not heard"

_BY_ASSIGNMENT_STATE = {
    "pending": "at assignment-worker: stored, not chosen yet",
    "waiting": "between assignment-worker and intake-api: LeadWaiting was not heard",
    "assigned": "between assignment-worker and intake-api: LeadAssigned was not heard",
}
WELCOME = "welcome"
"""The kind of mail that a lead waits for; it moves for no other."""

_FINAL = frozenset({"sent", "failed"})


def diagnose(lead: Mapping[str, Any], dead_letters: Sequence[Mapping[str, Any]], states: Mapping[str, Any]) -> str:
    """Name the first place on the lead's way at which it is not moving.

    ``lead`` as the API shows it, ``dead_letters`` its open ones, ``states`` what each worker answered: its
    state, or a line saying why there is none.
    """
    if dead_letters:
        first = dead_letters[0]
        return f"dead letter in {first['queue']}: {first['error_type']} at {first['error_place']}; replay or discard it"
    if lead.get("held_back_by"):
        return f"at intake-api: {lead['held_back_by']}; is its relay up, or the row parked (outbox_parked_rows)?"
    if lead["status"] not in OPEN:
        return f"not stopped: it is {lead['status']}"
    for name, state in states.items():
        if isinstance(state, str) and state.startswith("does not answer"):
            return f"the {name} worker {state}: start it, or what its /readyz misses"
    return _on_its_way(lead, states)


def _on_its_way(lead: Mapping[str, Any], states: Mapping[str, Any]) -> str:
    if lead.get("waiting_reason"):
        return f"not stopped: it waits ({lead['waiting_reason']})"
    if not lead.get("assigned_to"):
        return _before_owner(states.get("assignment"))
    return _before_mail(states.get("mailer")) if lead["status"] == "assigned" else "not stopped"


def _before_owner(assignment: Any) -> str:
    if not isinstance(assignment, Mapping):
        return NOT_HEARD_BY_ASSIGNMENT
    return _BY_ASSIGNMENT_STATE.get(str(assignment.get("state")), f"at assignment-worker: {assignment.get('state')}")


def _before_mail(mailer: Any) -> str:
    if not isinstance(mailer, Mapping):
        return NOT_HEARD_BY_MAILER
    deliveries = [str(one.get("state")) for one in mailer.get("deliveries", []) if one.get("kind") == WELCOME]
    if _FINAL.intersection(deliveries):
        return OUTCOME_NOT_HEARD
    return f"at mailer-worker: deliveries {', '.join(deliveries) or 'none'}"
