"""(epoch, decision) is the only order there is."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared_schemas.order import Arrival, Place

NUMBERS = st.integers(min_value=0, max_value=2**62)
PLACES = st.builds(Place, epoch=NUMBERS, decision=NUMBERS)
NEAR = st.builds(Place, epoch=st.integers(0, 2), decision=st.integers(0, 2))
"""So few places that equal ones are drawn often."""


@pytest.mark.parametrize(
    ("new", "held", "arrival"),
    [
        ((0, 0), None, Arrival.NEWER),
        ((5, 7), None, Arrival.NEWER),
        ((0, 1), (0, 0), Arrival.NEWER),
        ((0, 1), (0, 1), Arrival.REPEAT),
        ((0, 1), (0, 2), Arrival.STALE),
        ((1, 0), (0, 9), Arrival.NEWER),
        ((0, 9), (1, 0), Arrival.STALE),
        ((1, 2), (1, 2), Arrival.REPEAT),
        ((2, 1), (1, 2), Arrival.NEWER),
        ((1, 2), (2, 1), Arrival.STALE),
    ],
)
def test_the_epoch_decides_then_the_decision(
    new: tuple[int, int], held: tuple[int, int] | None, arrival: Arrival
) -> None:
    assert Place(*new).meets(Place(*held) if held else None) is arrival


@given(PLACES)
def test_a_place_meets_itself_as_a_repeat(place: Place) -> None:
    assert place.meets(Place(place.epoch, place.decision)) is Arrival.REPEAT


@given(NEAR, NEAR)
def test_of_two_different_places_exactly_one_is_newer(one: Place, other: Place) -> None:
    there_and_back = (one.meets(other), other.meets(one))
    if one == other:
        assert there_and_back == (Arrival.REPEAT, Arrival.REPEAT)
    else:
        assert set(there_and_back) == {Arrival.NEWER, Arrival.STALE}


@given(PLACES, PLACES, PLACES)
def test_newer_is_transitive(one: Place, other: Place, third: Place) -> None:
    low, middle, high = sorted((one, other, third))
    if middle.meets(low) is Arrival.NEWER and high.meets(middle) is Arrival.NEWER:
        assert high.meets(low) is Arrival.NEWER


@given(st.lists(NEAR, min_size=1), st.randoms(use_true_random=False))
def test_a_hearer_ends_at_the_same_place_whatever_the_order_of_arrival(places: list[Place], random: Random) -> None:
    def hear_all(arriving: list[Place]) -> Place | None:
        held: Place | None = None
        for place in arriving:
            if place.meets(held) is Arrival.NEWER:
                held = place
        return held

    shuffled = list(places)
    random.shuffle(shuffled)
    assert hear_all(shuffled + places) == hear_all(places) == max(places)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_a_persons_new_decision_beats_any_number_of_automatic_ones(epoch: int, decided: int, later: int) -> None:
    assert Place(epoch + 1, decided).meets(Place(epoch, later)) is Arrival.NEWER
