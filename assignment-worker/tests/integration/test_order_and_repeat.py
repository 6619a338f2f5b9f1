"""Late, early, twice and in any order: the lead ends where intake-api's greatest epoch says, counted once."""

import itertools
from uuid import uuid4

import pytest
from shared_schemas.events import LeadAssigned, LeadDataErased, LeadWaiting

from .bench import Bench


async def test_a_registered_lead_is_assigned_and_its_contact_data_dropped(bench: Bench) -> None:
    attorney = await bench.attorney()
    event = bench.registered()
    await bench.hear(event)
    await bench.settle()
    (said,) = await bench.said()
    assert isinstance(said, LeadAssigned)
    assert (said.lead_id, said.epoch, said.decision, said.attorney.id) == (event.lead_id, 0, 1, attorney)
    assert (said.first_name, said.last_name, said.email, said.outreach) == ("Ada", "Byron", event.email, True)
    assert said.explanation.chosen_by == "policy"
    assert "prospect.example" not in await bench.everything()
    assert await bench.open_leads() == {attorney: 1}


async def test_an_equal_place_is_said_again_with_the_same_numbers_and_counted_once(bench: Bench) -> None:
    attorney = await bench.attorney()
    event = bench.registered()
    await bench.hear(event)
    await bench.settle()
    (first,) = await bench.said()
    await bench.hear(event.model_copy(update={"decision_seen": 1, "outreach": False}))
    await bench.hear(event)
    await bench.settle()
    again = await bench.said()
    assert again == [first.model_copy(update={"outreach": False}), first]
    assert await bench.open_leads() == {attorney: 1}


async def test_a_repeat_of_a_waiting_lead_says_the_wait_again(bench: Bench) -> None:
    event = bench.registered()
    await bench.hear(event)
    await bench.settle()
    (first,) = await bench.said()
    await bench.hear(event)
    await bench.settle()
    assert isinstance(first, LeadWaiting)
    assert await bench.said() == [first]


async def test_a_repeat_of_a_pending_lead_says_nothing(bench: Bench) -> None:
    await bench.attorney()
    event = bench.registered()
    await bench.hear(event, event)
    assert await bench.said() == []
    await bench.settle()
    assert await bench.decisions() == [("LeadAssigned", 0, 1)]


async def test_an_older_epoch_has_no_effect_and_says_nothing(bench: Bench) -> None:
    chosen = await bench.attorney()
    await bench.attorney()
    lead_id = uuid4()
    await bench.hear(bench.reassigned(lead_id, 2, attorney=bench.person(chosen)))
    await bench.said()
    await bench.hear(bench.registered(lead_id), bench.closed(lead_id, 1), bench.reassigned(lead_id, 1))
    await bench.settle()
    assert await bench.said() == []
    assert await bench.state(lead_id) == ("assigned", 2, chosen)


async def test_a_decision_seen_that_we_do_not_hold_is_taken_over(bench: Bench) -> None:
    """Our rows were lost or are old: intake-api states an owner by a decision we do not know."""
    former = await bench.attorney()
    owner = await bench.attorney()
    event = bench.registered(keep_attorney_id=former)
    await bench.hear(event)
    await bench.settle()
    await bench.said()
    await bench.hear(bench.reassigned(event.lead_id, 0, decision_seen=4, attorney=bench.person(owner), outreach=False))
    (said,) = await bench.said()
    assert (said.epoch, said.decision, said.attorney.id, said.outreach) == (0, 5, owner, False)
    assert said.explanation.note == "restated by intake-api"
    assert await bench.open_leads() == {former: 0, owner: 1}


async def test_decisions_go_on_from_what_intake_api_has_seen(bench: Bench) -> None:
    await bench.attorney()
    await bench.hear(bench.registered(decision_seen=6))
    await bench.settle()
    assert await bench.decisions() == [("LeadAssigned", 0, 7)]


async def test_decisions_never_start_again(bench: Bench) -> None:
    one, two = await bench.attorney(), await bench.attorney()
    event = bench.registered()
    lead_id = event.lead_id
    await bench.hear(event)
    await bench.settle()
    await bench.hear(bench.reassigned(lead_id, 1, attorney=bench.person(two)), bench.closed(lead_id, 2))
    await bench.hear(bench.reopened(lead_id, 3, attorney=bench.person(one)), bench.reassigned(lead_id, 4))
    await bench.settle()
    assert await bench.decisions() == [("LeadAssigned", epoch, n) for n, epoch in enumerate((0, 1, 3, 4), start=1)]


async def test_a_close_of_an_unknown_lead_stands_until_a_newer_reopening(bench: Bench) -> None:
    attorney = await bench.attorney()
    lead_id = uuid4()
    await bench.hear(bench.closed(lead_id, 2, decision_seen=3), bench.registered(lead_id))
    await bench.settle()
    assert await bench.state(lead_id) == ("closed", 2, None)
    await bench.hear(bench.reopened(lead_id, 3))
    await bench.settle()
    assert await bench.state(lead_id) == ("assigned", 3, attorney)
    assert await bench.decisions() == [("LeadAssigned", 3, 4)]


async def test_a_repeated_close_counts_once(bench: Bench) -> None:
    attorney = await bench.attorney()
    event = bench.registered()
    await bench.hear(event)
    await bench.settle()
    await bench.hear(bench.closed(event.lead_id, 1), bench.closed(event.lead_id, 1))
    assert await bench.open_leads() == {attorney: 0}


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
async def test_any_order_of_a_leads_events_ends_in_the_same_state(bench: Bench, order: tuple[int, ...]) -> None:
    one, two = await bench.attorney(), await bench.attorney()
    lead_id = uuid4()
    history = [
        bench.registered(lead_id),
        bench.reassigned(lead_id, 1, attorney=bench.person(two)),
        bench.closed(lead_id, 2),
        bench.reopened(lead_id, 3, attorney=bench.person(one)),
    ]
    for index in order:
        await bench.hear(history[index], history[index])
        await bench.settle()
    assert await bench.state(lead_id) == ("assigned", 3, one)
    assert await bench.open_leads() == {one: 1, two: 0}
    places = [(epoch, decision) for _, epoch, decision in await bench.decisions()]
    assert places == sorted(places)
    assert places[-1][0] == 3


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_erasure_is_final_in_any_order(bench: Bench, order: tuple[int, ...]) -> None:
    attorney = await bench.attorney()
    lead_id = uuid4()
    history = [bench.registered(lead_id), bench.reassigned(lead_id, 1), bench.erased(lead_id, 2)]
    for index in order:
        await bench.hear(history[index])
        await bench.settle()
    assert (await bench.state(lead_id))[0] == "erased"
    assert await bench.open_leads() == {attorney: 0}
    assert [event.service for event in await bench.said() if isinstance(event, LeadDataErased)] == ["assignment-worker"]
