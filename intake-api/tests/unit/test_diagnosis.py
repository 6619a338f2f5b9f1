"""Where a lead stopped, by what each service knows of it."""

from typing import Any

import pytest
from intake_api.leadctl.diagnosis import diagnose

OPEN = {"status": "registered", "assigned_to": None, "waiting_reason": None}
OWNED = {"status": "assigned", "assigned_to": "a", "waiting_reason": None}
UNKNOWN = "knows no such lead"


def delivery(state: str, kind: str = "welcome") -> dict[str, str]:
    return {"kind": kind, "state": state}


@pytest.mark.parametrize(
    ("lead", "states", "said"),
    [
        (OPEN, {"assignment": UNKNOWN, "mailer": UNKNOWN}, "LeadRegistered was not heard"),
        (OPEN, {"assignment": {"state": "pending"}, "mailer": UNKNOWN}, "not chosen yet"),
        (OPEN, {"assignment": {"state": "waiting"}, "mailer": UNKNOWN}, "LeadWaiting was not heard"),
        (OPEN, {"assignment": {"state": "assigned"}, "mailer": UNKNOWN}, "LeadAssigned was not heard"),
        (OPEN, {"assignment": "does not answer (ConnectError)", "mailer": UNKNOWN}, "start it"),
        ({**OPEN, "waiting_reason": "all_at_capacity"}, {"assignment": {"state": "waiting"}}, "not stopped"),
        (OWNED, {"assignment": {"state": "assigned"}, "mailer": UNKNOWN}, "mailer-worker: LeadAssigned"),
        (
            OWNED,
            {"assignment": {"state": "assigned"}, "mailer": {"deliveries": [delivery("sent")]}},
            "outcome of the mail",
        ),
        (OWNED, {"assignment": {"state": "assigned"}, "mailer": {"deliveries": [delivery("queued")]}}, "queued"),
        (
            OWNED,
            {
                "assignment": {"state": "assigned"},
                "mailer": {"deliveries": [delivery("sent", "prospect_link"), delivery("deferred")]},
            },
            "deliveries deferred",
        ),
        ({**OPEN, "held_back_by": "an unsent event"}, {"assignment": UNKNOWN, "mailer": UNKNOWN}, "an unsent event"),
        (
            {**OPEN, "status": "quarantined"},
            {"assignment": UNKNOWN, "mailer": UNKNOWN},
            "not stopped: it is quarantined",
        ),
        ({**OPEN, "status": "declined"}, {"assignment": UNKNOWN, "mailer": UNKNOWN}, "not stopped: it is declined"),
        ({**OWNED, "status": "reached_out"}, {"assignment": {"state": "assigned"}, "mailer": {}}, "not stopped"),
    ],
)
def test_the_first_place_that_does_not_move_is_named(lead: dict[str, Any], states: dict[str, Any], said: str) -> None:
    assert said in diagnose(lead, [], states)


def test_a_dead_letter_comes_first() -> None:
    letter = {"queue": "mailer.outreach", "error_type": "KeyError", "error_place": "m:1"}
    assert "mailer.outreach: KeyError at m:1" in diagnose(OWNED, [letter], {"assignment": UNKNOWN})
