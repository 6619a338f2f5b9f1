"""The life of a lead (docs/design.md), move by move."""

import pytest
from intake_api.lead_status import (
    CLOSED,
    LeadStatus,
    after_assigned,
    after_outreach_failed,
    after_reached_out,
    after_waiting,
    staff_moves,
)

S = LeadStatus


@pytest.mark.parametrize(
    ("status", "assigned", "waiting", "reached", "failed"),
    [
        (S.REGISTERED, S.ASSIGNED, S.REGISTERED, S.REACHED_OUT, S.OUTREACH_FAILED),
        (S.ASSIGNED, S.ASSIGNED, S.REGISTERED, S.REACHED_OUT, S.OUTREACH_FAILED),
        (S.REACHED_OUT, S.REACHED_OUT, S.REACHED_OUT, S.REACHED_OUT, S.REACHED_OUT),
        (S.OUTREACH_FAILED, S.OUTREACH_FAILED, S.OUTREACH_FAILED, S.REACHED_OUT, S.OUTREACH_FAILED),
        (S.RETAINED, S.RETAINED, S.RETAINED, S.RETAINED, S.RETAINED),
        (S.DECLINED, S.DECLINED, S.DECLINED, S.DECLINED, S.DECLINED),
    ],
)
def test_events_never_lower_a_status(status: S, assigned: S, waiting: S, reached: S, failed: S) -> None:
    found = (after_assigned(status), after_waiting(status), after_reached_out(status), after_outreach_failed(status))
    assert found == (assigned, waiting, reached, failed)


@pytest.mark.parametrize("status", sorted(CLOSED))
@pytest.mark.parametrize(
    ("was_reached", "has_owner", "reopened"),
    [(True, True, S.REACHED_OUT), (False, True, S.ASSIGNED), (True, False, S.REGISTERED), (False, False, S.REGISTERED)],
)
def test_a_closed_lead_has_one_way_back(status: S, was_reached: bool, has_owner: bool, reopened: S) -> None:
    assert staff_moves(status, was_reached=was_reached, has_owner=has_owner) == (reopened,)


def test_every_status_has_its_moves() -> None:
    assert all(isinstance(staff_moves(status, was_reached=False, has_owner=False), tuple) for status in LeadStatus)
