"""The rule: least busy, then longest idle, then id; never beyond capacity; the same input, the same choice."""

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from assignment_worker.assignment_policy import Chosen, Nobody, Roster, RosterEntry, Wish, explain_person
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ANYONE = Wish()


def attorney(number: int, **fields: object) -> RosterEntry:
    values: dict[str, object] = {"is_known": True, "available": True, "capacity": None, "open_leads": 0} | fields
    return RosterEntry(id=UUID(int=number), **values)  # type: ignore[arg-type] # built from a dict on purpose


def choose(*entries: RosterEntry, wish: Wish = ANYONE) -> Chosen | Nobody:
    return Roster(entries, NOW).choose(wish)


def chosen_number(*entries: RosterEntry, wish: Wish = ANYONE) -> int:
    choice = choose(*entries, wish=wish)
    assert isinstance(choice, Chosen)
    return choice.attorney_id.int


def test_the_fewest_open_leads_win() -> None:
    assert chosen_number(attorney(1, open_leads=3), attorney(2, open_leads=1), attorney(3, open_leads=2)) == 2


def test_among_equals_the_longest_idle_wins() -> None:
    recent, long_ago = NOW - timedelta(minutes=1), NOW - timedelta(days=1)
    assert chosen_number(attorney(1, last_assigned_at=recent), attorney(2, last_assigned_at=long_ago)) == 2


def test_among_equals_one_never_assigned_comes_first() -> None:
    assert chosen_number(attorney(1, last_assigned_at=NOW - timedelta(days=900)), attorney(2)) == 2


def test_the_last_tie_is_broken_by_id() -> None:
    assert chosen_number(attorney(7), attorney(2), attorney(5)) == 2


def test_the_kept_attorney_wins_even_when_busier() -> None:
    wish = Wish(keep_attorney_id=UUID(int=1))
    choice = choose(attorney(1, open_leads=9), attorney(2), wish=wish)
    assert isinstance(choice, Chosen)
    assert choice.attorney_id == UUID(int=1)
    assert choice.explanation.note == "a returning prospect keeps the attorney"


@pytest.mark.parametrize(
    "kept",
    [
        attorney(1, available=False),
        attorney(1, is_known=False),
        attorney(1, capacity=2, open_leads=2),
        attorney(1, absences=((NOW, NOW + timedelta(hours=1)),)),
    ],
)
def test_a_kept_attorney_who_may_not_take_it_is_passed_over(kept: RosterEntry) -> None:
    assert chosen_number(kept, attorney(2, open_leads=5), wish=Wish(keep_attorney_id=kept.id)) == 2


def test_an_attorney_both_kept_and_excluded_is_not_chosen() -> None:
    assert chosen_number(attorney(1), attorney(2, open_leads=5), wish=Wish(UUID(int=1), UUID(int=1))) == 2


def test_an_absence_ends_at_its_end() -> None:
    over = ((NOW - timedelta(hours=1), NOW),)
    begun = ((NOW, NOW + timedelta(hours=1)),)
    assert chosen_number(attorney(1, absences=over), attorney(2, open_leads=1)) == 1
    assert chosen_number(attorney(1, absences=begun), attorney(2, open_leads=1)) == 2


@pytest.mark.parametrize(
    ("entries", "wish", "reason"),
    [
        ((), ANYONE, "nobody_available"),
        ((attorney(1, available=False), attorney(2, is_known=False)), ANYONE, "nobody_available"),
        ((attorney(1, capacity=0), attorney(2, available=False)), ANYONE, "all_at_capacity"),
        ((attorney(1), attorney(2, available=False)), Wish(not_attorney_id=UUID(int=1)), "all_conflicted"),
        ((attorney(1, capacity=0),), Wish(not_attorney_id=UUID(int=1)), "all_conflicted"),
        ((attorney(1), attorney(2, capacity=0)), Wish(not_attorney_id=UUID(int=1)), "all_at_capacity"),
    ],
)
def test_a_wait_has_its_reason(entries: tuple[RosterEntry, ...], wish: Wish, reason: str) -> None:
    choice = choose(*entries, wish=wish)
    assert isinstance(choice, Nobody)
    assert choice.reason == reason


def test_the_explanation_counts_everybody_once() -> None:
    choice = choose(
        *(attorney(number, open_leads=number) for number in range(1, 31)),
        attorney(31, available=False),
        attorney(32, is_known=False),
        attorney(33, capacity=1, open_leads=1),
        attorney(34, absences=((NOW, NOW + timedelta(days=1)),)),
        wish=Wish(not_attorney_id=UUID(int=3)),
    )
    told = choice.explanation
    assert (told.rule, told.chosen_by, told.tie_break) == ("least-busy/1", "policy", "longest idle, then id")
    assert told.excluded == {"unavailable": 1, "unknown": 1, "at_capacity": 1, "absent": 1, "conflicted": 1}
    assert told.eligible == 29
    assert [one.attorney_id.int for one in told.candidates] == [1, 2, *range(4, 22)]
    assert told.candidates[0].open_leads == 1


def test_a_persons_choice_is_explained_with_what_spoke_against_it() -> None:
    told = explain_person(attorney(1, capacity=1, open_leads=1), NOW, is_restated=False)
    assert (told.chosen_by, told.note) == ("person", "chosen though at_capacity")


entries = st.builds(
    RosterEntry,
    id=st.uuids(),
    is_known=st.booleans(),
    available=st.booleans(),
    capacity=st.none() | st.integers(0, 6),
    open_leads=st.integers(0, 8),
    last_assigned_at=st.none()
    | st.datetimes(min_value=datetime(2025, 1, 1), max_value=datetime(2026, 1, 1)).map(  # noqa: DTZ001 - made aware below
        lambda naive: naive.replace(tzinfo=UTC)
    ),
    absences=st.sampled_from([(), ((NOW - timedelta(days=1), NOW + timedelta(days=1)),), ((NOW, NOW),)]),
)
rosters = st.lists(entries, max_size=12, unique_by=lambda entry: entry.id)


@st.composite
def rosters_with_wishes(draw: st.DrawFn) -> tuple[list[RosterEntry], Wish]:
    roster = draw(rosters)
    some = st.none() | st.sampled_from([entry.id for entry in roster]) if roster else st.none()
    return roster, Wish(draw(some), draw(some))


@given(rosters_with_wishes(), st.randoms())
def test_the_order_of_the_input_never_matters(case: tuple[list[RosterEntry], Wish], chance: random.Random) -> None:
    roster, wish = case
    shuffled = chance.sample(roster, len(roster))
    assert choose(*roster, wish=wish) == choose(*shuffled, wish=wish)


@given(rosters_with_wishes())
def test_whoever_is_chosen_may_take_it_and_nobody_eligible_is_less_busy(case: tuple[list[RosterEntry], Wish]) -> None:
    roster, wish = case
    choice = choose(*roster, wish=wish)
    eligible = {
        entry.id: entry
        for entry in roster
        if entry.is_known
        and entry.available
        and (entry.capacity is None or entry.open_leads < entry.capacity)
        and not any(start <= NOW < end for start, end in entry.absences)
        and entry.id != wish.not_attorney_id
    }
    if isinstance(choice, Nobody):
        assert not eligible
    else:
        least = min(entry.open_leads for entry in eligible.values())
        assert choice.attorney_id == wish.keep_attorney_id or eligible[choice.attorney_id].open_leads == least


@given(rosters_with_wishes())
def test_only_the_pivots_exclusion_makes_a_difference(case: tuple[list[RosterEntry], Wish]) -> None:
    """The chooser reads leads by this property: without it a lead would be left alone that could be assigned."""
    roster = Roster(case[0], NOW)
    for entry in case[0]:
        if entry.id != roster.pivot:
            assert roster.waiting_reason(entry.id) == roster.waiting_reason(None)


@given(st.integers(1, 12), st.integers(0, 150))
def test_equals_differ_by_at_most_one(attorneys: int, leads: int) -> None:
    counts, _ = give_out(Roster([attorney(number) for number in range(attorneys)], NOW), leads)
    assert sum(counts.values()) == leads
    assert (
        max(counts.get(number, 0) for number in range(attorneys))
        - min(counts.get(number, 0) for number in range(attorneys))
        <= 1
    )


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.integers(0, 60))
def test_capacity_is_filled_and_never_exceeded(capacities: list[int], leads: int) -> None:
    roster = Roster([attorney(number, capacity=limit) for number, limit in enumerate(capacities)], NOW)
    counts, waiting = give_out(roster, leads)
    assert all(counts.get(number, 0) <= limit for number, limit in enumerate(capacities))
    assert waiting == max(0, leads - sum(capacities))


def give_out(roster: Roster, leads: int) -> tuple[dict[int, int], int]:
    counts: dict[int, int] = {}
    waiting = 0
    for number in range(leads):
        choice = roster.choose(ANYONE)
        if isinstance(choice, Nobody):
            waiting += 1
        else:
            roster.assign(choice.attorney_id, NOW + timedelta(microseconds=number))
            counts[choice.attorney_id.int] = counts.get(choice.attorney_id.int, 0) + 1
    return counts, waiting
