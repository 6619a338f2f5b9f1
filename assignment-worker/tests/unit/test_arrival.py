"""What place an event of intake-api has, beside the lead held (docs/design.md, Order and Repeat)."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from assignment_worker.arrival import arrival
from shared_schemas.events import LeadClosed, LeadRegistered
from shared_schemas.order import Arrival, Place


def registered(epoch: int, decision_seen: int) -> LeadRegistered:
    return LeadRegistered(
        lead_id=uuid4(),
        epoch=epoch,
        decision_seen=decision_seen,
        first_name="Ada",
        last_name="Byron",
        email="ada@example.com",
        registered_at=datetime.now(UTC),
    )


@pytest.mark.parametrize(
    ("epoch", "decision_seen", "held", "expected"),
    [
        (0, 0, None, Arrival.NEWER),
        (3, 7, None, Arrival.NEWER),
        (1, 0, Place(0, 5), Arrival.NEWER),  # a person decided, not having heard our decisions yet
        (0, 0, Place(0, 0), Arrival.REPEAT),
        (0, 0, Place(0, 2), Arrival.REPEAT),  # the LeadAssigned was lost on its way: it is asked for again
        (0, 2, Place(0, 2), Arrival.REPEAT),
        (0, 3, Place(0, 2), Arrival.NEWER),  # intake-api has seen more than we hold: our rows were lost
        (1, 9, Place(2, 3), Arrival.STALE),
        (0, 0, Place(1, 0), Arrival.STALE),
    ],
)
def test_an_event_is_placed_by_epoch_then_by_decisions_we_do_not_hold(
    epoch: int, decision_seen: int, held: Place | None, expected: Arrival
) -> None:
    assert arrival(registered(epoch, decision_seen), held) is expected


def test_a_close_is_placed_by_the_same_rule() -> None:
    close = LeadClosed(lead_id=uuid4(), epoch=2, decision_seen=1)
    held = [None, Place(1, 4), Place(2, 4), Place(3, 0)]
    assert [arrival(close, place) for place in held] == [
        Arrival.NEWER,
        Arrival.NEWER,
        Arrival.REPEAT,
        Arrival.STALE,
    ]
