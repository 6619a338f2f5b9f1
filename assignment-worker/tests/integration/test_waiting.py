"""Nobody may take a lead: said once per reason, and drained oldest first when somebody may."""

from datetime import timedelta
from uuid import uuid4

from assignment_worker import repository
from shared_schemas.events import Absence, LeadAssigned, LeadWaiting

from .bench import Bench


async def test_an_empty_roster_is_a_wait_with_its_explanation(bench: Bench) -> None:
    event = bench.registered()
    await bench.hear(event)
    await bench.settle()
    (said,) = await bench.said()
    assert isinstance(said, LeadWaiting)
    assert (said.decision, said.reason, said.explanation.eligible) == (1, "nobody_available", 0)


async def test_a_reason_is_said_once_and_a_change_of_it_again(bench: Bench) -> None:
    attorney = await bench.attorney(available=False)
    await bench.hear(bench.registered())
    await bench.settle()
    await bench.settle()
    await bench.attorney(attorney, available=False, name="renamed")
    await bench.settle()
    assert [event.reason for event in await bench.said()] == ["nobody_available"]
    await bench.attorney(attorney, capacity=0)
    await bench.settle()
    assert [(event.reason, event.decision) for event in await bench.said()] == [("all_at_capacity", 2)]


async def test_a_new_epoch_says_the_wait_anew(bench: Bench) -> None:
    event = bench.registered()
    await bench.hear(event)
    await bench.settle()
    await bench.hear(bench.reassigned(event.lead_id, 1))
    await bench.settle()
    assert await bench.decisions() == [("LeadWaiting", 0, 1), ("LeadWaiting", 1, 2)]


async def test_asking_for_another_attorney_than_the_only_one_waits_as_conflicted(bench: Bench) -> None:
    only = await bench.attorney()
    event = bench.registered()
    await bench.hear(event)
    await bench.settle()
    await bench.hear(bench.reassigned(event.lead_id, 1))
    await bench.settle()
    *_, said = await bench.said()
    assert (said.reason, said.explanation.excluded) == ("all_conflicted", {"conflicted": 1})
    assert await bench.open_leads() == {only: 0}


async def test_a_conflicted_lead_does_not_hold_up_younger_ones(bench: Bench) -> None:
    only = await bench.attorney()
    blocked, younger = bench.reassigned(uuid4(), 1, attorney=bench.person(only)), bench.registered()
    await bench.hear(blocked, bench.reassigned(blocked.lead_id, 2, registered_at=blocked.registered_at), younger)
    while (await bench.choose(limit=1)).read:
        pass
    assert await bench.state(younger.lead_id) == ("assigned", 0, only)
    assert (await bench.state(blocked.lead_id))[0] == "waiting"
    second = await bench.attorney()
    await bench.settle()
    assert await bench.state(blocked.lead_id) == ("assigned", 2, second)


async def test_an_attorney_coming_back_drains_oldest_first(bench: Bench) -> None:
    attorney = await bench.attorney(available=False)
    events = [bench.registered() for _ in range(30)]
    await bench.hear(*reversed(events))
    await bench.settle()
    await bench.said()
    await bench.attorney(attorney, capacity=20)
    await bench.settle()
    said = await bench.said()
    assigned = [event.lead_id for event in said if isinstance(event, LeadAssigned)]
    waiting = [(event.lead_id, event.reason) for event in said if isinstance(event, LeadWaiting)]
    assert assigned == [event.lead_id for event in events[:20]]
    assert waiting == [(event.lead_id, "all_at_capacity") for event in events[20:]]


async def test_an_older_waiting_lead_goes_before_a_new_one(bench: Bench) -> None:
    attorney = await bench.attorney(capacity=1)
    first, old, new = bench.registered(), bench.registered(), bench.registered()
    await bench.hear(first, old)
    await bench.settle()
    await bench.hear(new, bench.closed(first.lead_id, 1))
    await bench.settle()
    assert await bench.state(old.lead_id) == ("assigned", 0, attorney)
    assert (await bench.state(new.lead_id))[0] == "waiting"


async def test_those_who_go_on_waiting_for_the_same_reason_are_not_said_again(bench: Bench) -> None:
    attorney = await bench.attorney(capacity=0)
    await bench.hear(*(bench.registered() for _ in range(5)))
    await bench.settle()
    await bench.said()
    await bench.attorney(attorney, capacity=1)
    await bench.settle()
    assert [type(event) for event in await bench.said()] == [LeadAssigned]


async def test_a_wait_begins_when_first_said(bench: Bench) -> None:
    attorney = await bench.attorney(available=False)
    event = bench.registered()
    await bench.hear(event)
    await bench.settle()
    since = (await bench.lead(event.lead_id)).waiting_since
    await bench.attorney(attorney, capacity=0)
    await bench.settle()
    lead = await bench.lead(event.lead_id)
    assert since is not None
    assert (lead.waiting_reason, lead.waiting_since) == ("all_at_capacity", since)


async def test_an_absence_is_judged_by_the_databases_clock(bench: Bench) -> None:
    async with bench.sessions() as session:
        now = await repository.database_time(session)
    ended = Absence(id=uuid4(), starts_at=now - timedelta(days=2), ends_at=now)
    lasting = Absence(id=uuid4(), starts_at=now - timedelta(days=1), ends_at=now + timedelta(days=1))
    back = await bench.attorney(absences=(ended,))
    await bench.attorney(absences=(lasting,))
    await bench.hear(*(bench.registered() for _ in range(3)))
    await bench.settle()
    assert {owner: count for owner, count in (await bench.open_leads()).items() if count} == {back: 3}


async def test_waiting_leads_are_not_read_again_while_their_reason_holds(bench: Bench) -> None:
    await bench.attorney(capacity=0)
    await bench.hear(*(bench.registered() for _ in range(25)))
    await bench.settle()
    assert (await bench.choose()).read == 0
    await bench.hear(bench.registered())
    assert (await bench.choose()).read == 1


async def test_the_gauge_counts_waiting_leads(bench: Bench) -> None:
    await bench.hear(bench.registered(), bench.registered())
    await bench.settle()
    async with bench.sessions() as session:
        assert await repository.count_waiting(session) == 2
