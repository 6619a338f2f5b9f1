"""What the ops port tells of a lead: where it stands and since when, no personal data."""

from uuid import uuid4

from assignment_worker import repository

from .bench import Bench


async def test_an_assigned_lead_tells_owner_and_time(bench: Bench) -> None:
    attorney = await bench.attorney()
    event = bench.registered()
    await bench.hear(event)
    await bench.settle()
    told = await bench.described(event.lead_id)
    assert (told["state"], told["attorney_id"], told["epoch"], told["decision"]) == ("assigned", str(attorney), 0, 1)
    assert told["assigned_at"] is not None


async def test_a_waiting_lead_tells_why_and_no_personal_data(bench: Bench) -> None:
    event = bench.registered()
    await bench.hear(event)
    await bench.settle()
    told = await bench.described(event.lead_id)
    assert (told["state"], told["waiting_reason"]) == ("waiting", "nobody_available")
    assert not {"Ada", "Byron", event.email} & set(map(str, told.values()))


async def test_an_unknown_lead_is_none(bench: Bench) -> None:
    assert await repository.describe_lead(bench.sessions, uuid4()) is None
