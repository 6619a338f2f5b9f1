"""Random lives of leads, heard shuffled and doubled between choices: counters stay exact, capacity holds."""

import random
from typing import Any
from uuid import UUID

import pytest
from assignment_worker.models import Attorney
from shared_schemas.events import LeadAssigned, LeadClosed, LeadWaiting
from sqlalchemy import select

from .bench import Bench


def history_of_one_lead(bench: Bench, chance: random.Random, attorneys: list[UUID]) -> list[Any]:
    events: list[Any] = [bench.registered()]
    lead_id: UUID = events[0].lead_id
    is_open = True
    for epoch in range(1, chance.randint(1, 5)):
        named = bench.person(chance.choice(attorneys)) if chance.random() < 0.3 else None
        if is_open and chance.random() < 0.4:
            events.append(bench.closed(lead_id, epoch))
        elif is_open:
            events.append(bench.reassigned(lead_id, epoch, attorney=named))
        else:
            events.append(bench.reopened(lead_id, epoch, attorney=named))
        is_open = not isinstance(events[-1], LeadClosed)
    if chance.random() < 0.15:
        events.append(bench.erased(lead_id, len(events)))
    return events


@pytest.mark.parametrize("seed", range(8))
async def test_counters_are_exact_and_the_last_epoch_wins(bench: Bench, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a test's dice
    attorneys = [await bench.attorney(capacity=chance.choice([None, 2, 3])) for _ in range(4)]
    histories = [history_of_one_lead(bench, chance, attorneys) for _ in range(15)]
    deliveries = [event for history in histories for event in history]
    deliveries += chance.choices(deliveries, k=len(deliveries) // 2)
    chance.shuffle(deliveries)
    said: list[Any] = []
    for event in deliveries:
        await bench.hear(event)
        if chance.random() < 0.3:
            await bench.choose(limit=chance.choice([1, 3, 200]))
            await bench.open_leads()
        if chance.random() < 0.05:
            await bench.attorney(chance.choice(attorneys), available=chance.random() < 0.7, capacity=5)
        said += await bench.said()
    await bench.settle()
    said += await bench.said()
    await bench.open_leads()
    for history in histories:
        last = history[-1]
        state, epoch, owner = await bench.state(last.lead_id)
        expected = {"LeadErased": {"erased"}, "LeadClosed": {"closed"}}.get(
            type(last).__name__, {"assigned", "waiting"}
        )
        assert state in expected
        assert state == "erased" or epoch == last.epoch
        if state in {"assigned", "waiting"} and last.attorney is not None:
            assert owner == last.attorney.id
        places = [
            (event.epoch, event.decision)
            for event in said
            if isinstance(event, LeadAssigned | LeadWaiting) and event.lead_id == last.lead_id
        ]
        assert places == sorted(places)
        assert [decision for _, decision in places] == sorted(decision for _, decision in places)


@pytest.mark.parametrize("seed", range(3))
async def test_the_policy_alone_never_exceeds_a_capacity(bench: Bench, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a test's dice
    for _ in range(3):
        await bench.attorney(capacity=chance.randint(1, 3))
    opened: list[UUID] = []
    epochs: dict[UUID, int] = {}
    for _ in range(60):
        if opened and chance.random() < 0.4:
            lead_id = opened.pop(chance.randrange(len(opened)))
            epochs[lead_id] = epochs.get(lead_id, 0) + 1
            await bench.hear(bench.closed(lead_id, epochs[lead_id]))
        else:
            event = bench.registered()
            opened.append(event.lead_id)
            await bench.hear(event)
        await bench.choose(limit=chance.choice([1, 200]))
        async with bench.sessions() as session:
            over = await session.scalars(select(Attorney).where(Attorney.open_leads > Attorney.capacity))
            assert over.all() == []
    await bench.open_leads()
