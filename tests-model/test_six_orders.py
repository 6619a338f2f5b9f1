"""All orders of LeadWaiting, LeadAssigned and LeadReachedOut, as the services themselves say them, end the same."""

import asyncio
import itertools

import pytest
from lead_model.broker import Message
from lead_model.invariants import check_settled
from lead_model.world import Attempted, World
from shared_schemas.events import LeadAssigned, LeadReachedOut, LeadWaiting
from shared_schemas.topology import ASSIGNMENT_LEADS, ASSIGNMENT_ROSTER, INTAKE_LEAD_STATUS, MAILER_OUTREACH

EVENTS = (LeadWaiting.type, LeadAssigned.type, LeadReachedOut.type)


async def said_and_not_heard(world: World) -> dict[str, Message]:
    """A lead that waited, was assigned and was mailed, of which intake-api has heard nothing yet."""
    await world.empty()
    await world.hire(1)
    await world.set_available(world.attorneys[0], False)
    await relay_and_deliver(world)
    world.attempted.append(Attempted("key", "ada@prospect.example"))
    await world.submit(world.attempted[0])
    await relay_and_deliver(world)
    await world.choose()
    await world.set_available(world.attorneys[0], True)
    await relay_and_deliver(world)
    await world.choose()
    await relay_and_deliver(world)
    await world.send_one()
    await world.relay_outbox("mailer_worker")
    await world.relay_outbox("assignment_worker")
    return {message.type: message for message in world.bag.messages if message.queue == INTAKE_LEAD_STATUS.name}


async def relay_and_deliver(world: World) -> None:
    await world.relay_outbox("intake_api")
    await world.relay_outbox("assignment_worker")
    for message in world.bag.waiting():
        if message.queue in (ASSIGNMENT_LEADS.name, ASSIGNMENT_ROSTER.name, MAILER_OUTREACH.name):
            await world.bag.deliver(message)


@pytest.mark.parametrize("times", [1, 2], ids=["once", "each twice"])
@pytest.mark.parametrize("order", list(itertools.permutations(EVENTS)), ids=" ".join)
def test_every_order_ends_the_same(world: World, runner: asyncio.Runner, order: tuple[str, ...], times: int) -> None:
    async def history() -> None:
        messages = await said_and_not_heard(world)
        assert set(messages) == set(EVENTS)
        for type_ in order:
            for _ in range(times):
                await world.bag.deliver(messages[type_])
        (lead,) = await world.leads()
        owner = world.attorneys[0]
        assert (lead.status, lead.assigned_to, lead.reached_out_by) == ("reached_out", owner, owner)
        assert (lead.waiting_reason, lead.waiting_since) == (None, None)
        await world.settle(0)
        await check_settled(world)
        (after,) = await world.leads()
        assert after.status == "reached_out"

    runner.run(history())
