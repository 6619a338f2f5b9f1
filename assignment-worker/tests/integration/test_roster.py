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
