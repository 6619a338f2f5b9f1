"""An erased lead: nothing of it stays, no late event brings it back, and the receipt comes when that is true."""

import asyncio

from mailer_worker.lead_description import describe_lead
from mailer_worker.use_cases.erase_lead import finish_erasures
from shared_schemas.events import LeadDataErased

from ..bench import Bench
from ..scripted_relay import ScriptedRelay, Step


async def test_a_waiting_lead_is_erased_at_once_with_its_unsent_events(bench: Bench, relay: ScriptedRelay) -> None:
    relay.script[bench.address].append(Step("rcpt", "450 later"))
    await bench.hear(bench.assigned())
    await bench.send_due()
    await bench.hear(bench.erased())
    said = await bench.said()
    counts = {"deliveries": 1, "outreach_cancellations": 0, "outbox": 1}
    assert said == [LeadDataErased(lead_id=bench.lead_id, service="mailer-worker", counts=counts)]
    everything = await bench.everything()
    assert [word for word in ("Ada", "Byron", bench.address) if word in everything] == []


async def test_late_events_and_repeats_find_only_the_tombstone(bench: Bench, relay: ScriptedRelay) -> None:
    await bench.hear(bench.erased())
    (first,) = await bench.said()
    await bench.hear(bench.assigned(epoch=9, decision=9), bench.requested(epoch=9), bench.cancelled(epoch=9))
    assert (await bench.deliveries(), await bench.send_due(), await bench.said()) == ([], [], [])
    await bench.hear(bench.erased())
    assert await bench.said() == [first]
    assert bench.address not in await bench.everything()


async def test_an_attempt_that_has_not_come_to_data_is_stopped_and_then_the_receipt_is_said(
    bench: Bench, relay: ScriptedRelay
) -> None:
    await bench.hear(bench.assigned())
    (attempt,) = await bench.claim()
    await bench.hear(bench.erased())
    await _finish(bench)
    assert (await bench.said(), (await bench.delivery()).state) == ([], "erased")
    await bench.run(attempt)
    await _finish(bench)
    (said,) = await bench.said()
    assert isinstance(said, LeadDataErased)
    assert (relay.received, await bench.deliveries()) == ([], [])


async def test_an_attempt_inside_data_ends_before_the_receipt_and_leaves_nothing(
    bench: Bench, relay: ScriptedRelay
) -> None:
    relay.script[bench.address].append(Step("dot", accident="hang"))
    await bench.hear(bench.assigned())
    async with bench.sending():
        await relay.reached.wait()
        await bench.hear(bench.erased())
        assert await bench.said() == []
        relay.hold.set()
        await bench.until(lambda found: not found)
    (said,) = await bench.said()
    assert isinstance(said, LeadDataErased)
    assert bench.address not in await bench.everything()


async def test_an_attempt_whose_process_died_delays_the_receipt_until_its_lease_is_over(bench: Bench) -> None:
    await bench.hear(bench.assigned())
    await bench.claim()
    await bench.hear(bench.erased())
    await _finish(bench)
    assert await bench.said() == []
    await bench.end_leases()
    await _finish(bench)
    assert [type(one) for one in await bench.said()] == [LeadDataErased]


async def _finish(bench: Bench) -> None:
    async with bench.sessions.begin() as session:
        await finish_erasures(session)


async def test_an_assignment_and_an_erasure_at_once_leave_no_delivery(bench: Bench) -> None:
    await asyncio.gather(*(bench.hear(event) for _ in range(5) for event in (bench.assigned(), bench.erased())))
    assert await bench.deliveries() == []


async def test_a_description_says_that_a_lead_is_erased_and_nothing_else(bench: Bench) -> None:
    assert await describe_lead(bench.sessions, bench.lead_id) is None
    await bench.hear(bench.assigned())
    await bench.send_due()
    known = str(await describe_lead(bench.sessions, bench.lead_id))
    assert [word for word in ("Ada", "Byron", bench.address) if word in known] == []
    assert "'state': 'sent'" in known
    await bench.hear(bench.erased())
    erased = await describe_lead(bench.sessions, bench.lead_id)
    assert erased is not None
    assert (erased["erased"], erased["deliveries"]) == (True, [])
