"""Late, early, twice, cancelled and asked for again: one mail per lead, by the newest word."""

import itertools

import pytest
from shared_schemas.events import LeadReachedOut, OutreachFailed

from ..bench import DORA, EMIL, Bench
from ..scripted_relay import ScriptedRelay, Step


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
async def test_in_any_order_the_newest_assignment_is_whom_the_mail_introduces(
    bench: Bench, relay: ScriptedRelay, order: tuple[int, ...]
) -> None:
    events = [
        bench.assigned(epoch=0, decision=1),
        bench.assigned(epoch=0, decision=2),
        bench.assigned(epoch=1, decision=2, attorney=EMIL),
    ]
    await bench.hear(*(events[index] for index in order))
    await bench.send_due()
    (said,) = await bench.said()
    assert (said.attorney_id, len(relay.received)) == (EMIL.id, 1)


async def test_a_sent_mail_is_not_sent_again_and_says_so_again(bench: Bench, relay: ScriptedRelay) -> None:
    await bench.hear(bench.assigned())
    await bench.send_due()
    (first,) = await bench.said()
    await bench.hear(bench.assigned(), bench.assigned(epoch=1, decision=2, attorney=EMIL))
    await bench.send_due()
    assert await bench.said() == [first, first]
    assert len(relay.received) == 1


async def test_an_older_assignment_says_nothing(bench: Bench) -> None:
    await bench.hear(bench.assigned(epoch=1, decision=2))
    await bench.send_due()
    await bench.said()
    await bench.hear(bench.assigned(epoch=0, decision=3))
    assert await bench.said() == []


async def test_a_repeat_says_the_deferral_again_with_the_same_numbers(bench: Bench, relay: ScriptedRelay) -> None:
    relay.script[bench.address].append(Step("rcpt", "450 later"))
    await bench.hear(bench.assigned())
    await bench.send_due()
    (first,) = await bench.said()
    await bench.hear(bench.assigned())
    assert await bench.said() == [first]


async def test_a_failed_mail_says_its_failure_again_for_a_newer_epoch(bench: Bench, relay: ScriptedRelay) -> None:
    relay.script[bench.address].append(Step("rcpt", "550 gone"))
    await bench.hear(bench.assigned())
    await bench.send_due()
    (first,) = await bench.said()
    await bench.hear(bench.assigned(epoch=1, decision=2))
    assert (await bench.said(), await bench.send_due()) == ([first], [])


async def test_a_cancellation_stops_a_waiting_mail_and_a_newer_epoch_revives_it(
    bench: Bench, relay: ScriptedRelay
) -> None:
    await bench.hear(bench.assigned(), bench.cancelled(epoch=0))
    assert (await bench.send_due(), (await bench.delivery()).state) == ([], "cancelled")
    await bench.hear(bench.assigned(epoch=0, decision=2))
    assert await bench.send_due() == []
    await bench.hear(bench.assigned(epoch=1, decision=3, outreach=False))
    assert await bench.send_due() == []
    await bench.hear(bench.assigned(epoch=2, decision=4))
    await bench.send_due()
    assert len(relay.received) == 1


async def test_a_cancellation_of_an_unknown_lead_stops_every_assignment_up_to_its_epoch(
    bench: Bench, relay: ScriptedRelay
) -> None:
    await bench.hear(bench.cancelled(epoch=1), bench.cancelled(epoch=0))
    await bench.hear(bench.assigned(epoch=0, decision=1), bench.assigned(epoch=1, decision=2))
    assert (await bench.send_due(), await bench.said()) == ([], [])
    await bench.hear(bench.assigned(epoch=2, decision=3))
    await bench.send_due()
    assert len(relay.received) == 1


async def test_an_old_cancellation_does_not_stop_a_newer_epoch(bench: Bench, relay: ScriptedRelay) -> None:
    await bench.hear(bench.assigned(epoch=1, decision=2), bench.cancelled(epoch=0))
    await bench.send_due()
    assert len(relay.received) == 1


async def test_a_cancellation_before_data_stops_a_running_attempt(bench: Bench, relay: ScriptedRelay) -> None:
    await bench.hear(bench.assigned())
    (attempt,) = await bench.claim()
    await bench.hear(bench.cancelled())
    await bench.run(attempt)
    delivery = await bench.delivery()
    assert (relay.received, delivery.state, delivery.mail, await bench.said()) == ([], "cancelled", None, [])


async def test_a_cancelled_attempt_of_unknown_outcome_is_not_tried_again(bench: Bench, relay: ScriptedRelay) -> None:
    await bench.hear(bench.assigned())
    await bench.claim()
    await bench.hear(bench.cancelled())
    await bench.end_leases()
    await bench.recover()
    delivery = await bench.delivery()
    assert (delivery.state, delivery.ambiguous, await bench.send_due()) == ("cancelled", True, [])


async def test_a_request_sends_a_sent_mail_again_as_the_next_of_its_sequence(
    bench: Bench, relay: ScriptedRelay
) -> None:
    await bench.hear(bench.assigned())
    await bench.send_due()
    request = bench.requested(attorney=EMIL)
    await bench.hear(request)
    await bench.send_due()
    await bench.hear(request)
    await bench.send_due()
    first, second, again = await bench.said()
    assert [one.sequence for one in await bench.deliveries()] == [1, 2]
    assert (second.delivery_id != first.delivery_id, second.message_id != first.message_id) == (True, True)
    assert (second.attorney_id, again, len(relay.received)) == (EMIL.id, second, 2)


async def test_a_request_that_did_not_know_of_the_sent_mail_sends_none_and_is_told(
    bench: Bench, relay: ScriptedRelay
) -> None:
    await bench.hear(bench.assigned())
    await bench.send_due()
    (first,) = await bench.said()
    await bench.hear(bench.requested(after_delivery_id=None))
    await bench.send_due()
    assert (await bench.said(), len(relay.received)) == ([first], 1)

    for _ in range(2):
        await bench.hear(bench.requested(after_delivery_id=first.delivery_id))
        await bench.send_due()
    second, again = await bench.said()
    assert (second.delivery_id != first.delivery_id, again, len(relay.received)) == (True, second, 2)


async def test_a_request_queues_a_refused_mail_again_and_lifts_the_suppression(
    bench: Bench, relay: ScriptedRelay
) -> None:
    relay.script[bench.address].append(Step("rcpt", "550 gone"))
    await bench.hear(bench.assigned())
    await bench.send_due()
    await bench.hear(bench.requested())
    await bench.send_due()
    failed, reached = await bench.said()
    assert (type(failed), type(reached)) == (OutreachFailed, LeadReachedOut)
    assert (reached.delivery_id, reached.attempts) == (failed.delivery_id, 2)


async def test_a_request_outweighs_a_cancellation_of_its_epoch_but_not_a_later_one(
    bench: Bench, relay: ScriptedRelay
) -> None:
    await bench.hear(bench.assigned(), bench.cancelled(epoch=1), bench.requested(epoch=0))
    assert await bench.send_due() == []
    await bench.hear(bench.requested(epoch=1))
    await bench.send_due()
    assert len(relay.received) == 1


async def test_a_request_for_an_unknown_lead_is_sent_and_its_assignment_adds_no_second_mail(
    bench: Bench, relay: ScriptedRelay
) -> None:
    await bench.hear(bench.requested())
    await bench.send_due()
    (first,) = await bench.said()
    await bench.hear(bench.assigned(attorney=EMIL))
    await bench.send_due()
    assert (await bench.said(), len(relay.received)) == ([first], 1)
    assert first.attorney_id == DORA.id


async def test_a_request_hurries_a_deferred_mail(bench: Bench, relay: ScriptedRelay) -> None:
    relay.script[bench.address].append(Step("rcpt", "450 later"))
    await bench.hear(bench.assigned())
    await bench.send_due()
    await bench.hear(bench.requested())
    await bench.send_due()
    assert len(relay.received) == 1
