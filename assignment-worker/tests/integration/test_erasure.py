"""After an erasure nothing of the lead is left here but its tombstone (docs/design.md, invariant 9)."""

import pytest
from shared_schemas.events import LeadDataErased

from .bench import Bench


@pytest.mark.parametrize("with_attorney", [True, False])
async def test_rows_and_unsent_events_go_and_the_tombstone_stays(bench: Bench, with_attorney: bool) -> None:
    attorney = await bench.attorney(available=with_attorney)
    event = bench.registered(practice_area="employment", language="en")
    await bench.hear(event)
    await bench.settle()
    assert "prospect.example" in await bench.everything()
    await bench.hear(bench.erased(event.lead_id, 1))
    everything = await bench.everything()
    assert "prospect.example" not in everything
    assert "employment" not in everything
    (said,) = await bench.said()
    assert isinstance(said, LeadDataErased)
    assert (said.service, said.counts) == (
        "assignment-worker",
        {"leads": 1, "assignments": int(with_attorney), "outbox": 1},
    )
    assert await bench.open_leads() == {attorney: 0}
    kept = await bench.described(event.lead_id)
    assert {key: value for key, value in kept.items() if value} == {"lead_id": str(event.lead_id), "state": "erased"}


async def test_a_repeat_says_it_again(bench: Bench) -> None:
    event = bench.registered()
    await bench.hear(event, bench.erased(event.lead_id, 1))
    await bench.said()
    await bench.hear(bench.erased(event.lead_id, 1))
    assert [type(said) for said in await bench.said()] == [LeadDataErased]


async def test_no_later_event_revives_the_lead(bench: Bench) -> None:
    attorney = await bench.attorney()
    event = bench.registered()
    await bench.hear(bench.erased(event.lead_id, 3))
    await bench.said()
    await bench.hear(event, bench.reopened(event.lead_id, 9, attorney=bench.person(attorney)))
    await bench.hear(bench.closed(event.lead_id, 10))
    await bench.settle()
    assert (await bench.state(event.lead_id))[0] == "erased"
    assert await bench.said() == []
    assert await bench.open_leads() == {attorney: 0}


async def test_a_freed_place_goes_to_a_waiting_lead(bench: Bench) -> None:
    attorney = await bench.attorney(capacity=1)
    owned, waiting = bench.registered(), bench.registered()
    await bench.hear(owned, waiting)
    await bench.settle()
    await bench.hear(bench.erased(owned.lead_id, 1))
    await bench.settle()
    assert await bench.state(waiting.lead_id) == ("assigned", 0, attorney)
