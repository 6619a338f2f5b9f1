"""The roster is a replica by version; the counters in it are ours."""

from uuid import UUID, uuid4

from assignment_worker.models import Attorney

from .bench import Bench


async def row(bench: Bench, attorney_id: UUID) -> Attorney:
    async with bench.sessions() as session:
        return await session.get_one(Attorney, attorney_id)


async def test_only_a_greater_version_is_taken_over(bench: Bench) -> None:
    attorney_id = uuid4()
    await bench.hear(bench.attorney_changed(attorney_id, version=3, name="third"))
    await bench.hear(bench.attorney_changed(attorney_id, version=2, name="second"))
    await bench.hear(bench.attorney_changed(attorney_id, version=3, name="third again"))
    assert (await row(bench, attorney_id)).name == "third"
    await bench.hear(bench.attorney_changed(attorney_id, version=4, name="fourth", capacity=7, languages=("en", "fr")))
    held = await row(bench, attorney_id)
    assert (held.name, held.capacity, held.languages) == ("fourth", 7, ["en", "fr"])


async def test_a_change_keeps_count_and_idle_time(bench: Bench) -> None:
    attorney_id = await bench.attorney()
    await bench.hear(bench.registered())
    await bench.settle()
    before = await row(bench, attorney_id)
    await bench.attorney(attorney_id, name="married name")
    after = await row(bench, attorney_id)
    assert (after.open_leads, after.last_assigned_at) == (1, before.last_assigned_at)
    assert after.name == "married name"


async def test_within_one_batch_too_the_longest_idle_is_known(bench: Bench) -> None:
    smaller, greater = await bench.attorney(UUID(int=1)), await bench.attorney(UUID(int=2))
    earlier = bench.reassigned(uuid4(), 1, attorney=bench.person(smaller))
    await bench.hear(earlier, bench.registered(), bench.registered())
    await bench.settle()  # one batch: the first lead to the idle one, the second to the one with a lead
    await bench.hear(bench.closed(earlier.lead_id, 2))
    assert await bench.open_leads() == {smaller: 1, greater: 1}
    event = bench.registered()
    await bench.hear(event)
    await bench.settle()
    assert await bench.state(event.lead_id) == ("assigned", 0, greater)
