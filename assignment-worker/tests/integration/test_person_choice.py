"""A person's choice is applied at once, whoever it is; asking for another choice excludes the present owner."""

from typing import Any
from uuid import uuid4

import pytest

from .bench import Bench


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ({"available": False}, "chosen though unavailable"),
        ({"capacity": 0}, "chosen though at_capacity"),
        ({}, None),
    ],
)
async def test_it_holds_even_for_an_unavailable_or_full_attorney(
    bench: Bench, fields: dict[str, Any], note: str | None
) -> None:
    chosen = await bench.attorney(**fields)
    lead_id = uuid4()
    await bench.hear(bench.reassigned(lead_id, 1, attorney=bench.person(chosen)))
    (said,) = await bench.said()
    assert (said.attorney.id, said.explanation.chosen_by, said.explanation.note) == (chosen, "person", note)
    assert await bench.open_leads() == {chosen: 1}


async def test_an_unknown_attorney_is_stored_and_not_chosen_until_told_of(bench: Bench) -> None:
    unknown = uuid4()
    await bench.hear(bench.reassigned(uuid4(), 1, attorney=bench.person(unknown)))
    (said,) = await bench.said()
    assert (said.attorney.id, said.explanation.note) == (unknown, "chosen though unknown")
    event = bench.registered()
    await bench.hear(event)
    await bench.settle()
    assert (await bench.state(event.lead_id))[0] == "waiting"
    await bench.attorney(unknown)
    await bench.settle()
    assert await bench.state(event.lead_id) == ("assigned", 0, unknown)
    assert await bench.open_leads() == {unknown: 2}


async def test_naming_another_owner_moves_the_lead_and_its_count(bench: Bench) -> None:
    one, two = await bench.attorney(), await bench.attorney()
    lead_id = uuid4()
    await bench.hear(bench.reassigned(lead_id, 1, attorney=bench.person(one)))
    await bench.hear(bench.reassigned(lead_id, 2, attorney=bench.person(two)))
    assert await bench.open_leads() == {one: 0, two: 1}


async def test_a_new_choice_never_goes_to_the_present_owner(bench: Bench) -> None:
    idle, busy = await bench.attorney(), await bench.attorney()
    lead_id = uuid4()
    await bench.hear(bench.reassigned(uuid4(), 1, attorney=bench.person(busy)))
    await bench.hear(bench.reassigned(lead_id, 1, attorney=bench.person(idle)))
    await bench.hear(bench.reassigned(lead_id, 2))
    await bench.settle()
    assert await bench.state(lead_id) == ("assigned", 2, busy)


async def test_two_requests_for_a_new_choice_still_exclude_the_owner_that_was(bench: Bench) -> None:
    only = await bench.attorney()
    lead_id = uuid4()
    await bench.hear(bench.reassigned(lead_id, 1, attorney=bench.person(only)), bench.reassigned(lead_id, 2))
    await bench.settle()
    await bench.hear(bench.reassigned(lead_id, 3))
    await bench.settle()
    lead = await bench.lead(lead_id)
    assert (lead.state, lead.waiting_reason) == ("waiting", "all_conflicted")
    assert await bench.open_leads() == {only: 0}


async def test_a_returning_prospect_keeps_a_busier_attorney(bench: Bench) -> None:
    kept, _idle = await bench.attorney(), await bench.attorney()
    await bench.hear(bench.reassigned(uuid4(), 1, attorney=bench.person(kept)))
    event = bench.registered(keep_attorney_id=kept)
    await bench.hear(event)
    await bench.settle()
    assert await bench.state(event.lead_id) == ("assigned", 0, kept)


async def test_a_stated_owner_made_unavailable_since_keeps_the_lead(bench: Bench) -> None:
    attorney = await bench.attorney()
    event = bench.registered()
    await bench.hear(event)
    await bench.settle()
    await bench.attorney(attorney, available=False)
    await bench.settle()
    assert await bench.state(event.lead_id) == ("assigned", 0, attorney)
