"""What nobody can know (docs/design.md, invariant 7): flagged, counted, and a second copy is the same to the byte."""

import asyncio
from email import message_from_bytes

import pytest
from mailer_worker.mail_sender import Ambiguous, Sent
from shared_schemas.events import LeadReachedOut, OutreachDeferred, OutreachFailed

from ..bench import EMIL, Bench
from ..scripted_relay import ScriptedRelay, Step

ACCIDENTS = [
    Step("data", accident="drop"),
    Step("data", accident="hang"),
    Step("dot", accident="drop"),
    Step("dot", accident="hang"),
]


@pytest.mark.parametrize("step", ACCIDENTS, ids=lambda step: f"{step.accident} at {step.at}")
async def test_a_connection_that_dies_inside_data_is_ambiguous_and_sent_again(
    bench: Bench, relay: ScriptedRelay, step: Step
) -> None:
    if step.accident == "hang":
        bench.change(smtp_deadline=1.0)
    relay.script[bench.address].append(step)
    await bench.hear(bench.assigned())
    (outcome,) = await bench.send_due()
    assert isinstance(outcome, Ambiguous)
    (deferred,) = await bench.said()
    assert isinstance(deferred, OutreachDeferred)
    assert (deferred.ambiguous, deferred.reason, deferred.next_attempt_at is None) == (True, "ambiguous", False)

    await bench.make_due()
    await bench.send_due()
    (reached,) = await bench.said()
    assert isinstance(reached, LeadReachedOut)
    assert (reached.ambiguous, reached.attempts) == (True, 2)
    copies = relay.mails_to(bench.address)
    assert len(copies) == (1 if step.at == "data" else 2)
    assert len(set(copies)) == 1


async def test_a_process_that_died_leaves_an_attempt_that_is_flagged_and_sent_again(
    bench: Bench, relay: ScriptedRelay
) -> None:
    await bench.hear(bench.assigned())
    (dead,) = await bench.claim()
    assert await bench.smtp.send(dead.mail, _yes) == Sent()
    assert await bench.recover() == 0
    await bench.end_leases()
    assert await bench.recover() == 1
    await bench.send_due()
    (said,) = await bench.said()
    assert (said.ambiguous, said.attempts, (await bench.delivery()).state) == (True, 2, "sent")
    first, second = relay.mails_to(bench.address)
    assert first == second


async def test_the_second_copy_has_the_message_id_of_the_first(bench: Bench, relay: ScriptedRelay) -> None:
    relay.script[bench.address].append(Step("dot", accident="drop"))
    await bench.hear(bench.assigned())
    await bench.send_due()
    await bench.make_due()
    await bench.send_due()
    first, second = (message_from_bytes(mail)["Message-ID"] for mail in relay.mails_to(bench.address))
    assert first == second


async def _yes() -> bool:
    return True


async def test_an_attempt_that_outlived_its_lease_writes_nothing(bench: Bench, relay: ScriptedRelay) -> None:
    relay.script[bench.address].append(Step("dot", accident="hang"))
    bench.change(smtp_deadline=5.0)
    await bench.hear(bench.assigned())
    (stale,) = await bench.claim()
    late = asyncio.create_task(bench.run(stale))
    await relay.reached.wait()
    await bench.end_leases()
    await bench.recover()
    (current,) = await bench.claim()
    relay.hold.set()
    assert await late == Sent()
    delivery = await bench.delivery()
    assert (delivery.state, delivery.attempt, await bench.said()) == ("sending", current.number, [])


@pytest.mark.parametrize(("reply", "state"), [("", "sent"), ("450 later", "deferred"), ("554 no", "failed")])
async def test_an_attempt_taken_for_lost_still_tells_how_it_ended_before_another_begins(
    bench: Bench, relay: ScriptedRelay, reply: str, state: str
) -> None:
    relay.script[bench.address].append(Step("dot", reply, "hang"))
    await bench.hear(bench.assigned())
    (attempt,) = await bench.claim()
    late = asyncio.create_task(bench.run(attempt))
    await relay.reached.wait()
    await bench.end_leases()
    assert await bench.recover() == 1
    relay.hold.set()
    await late
    delivery = await bench.delivery()
    assert (delivery.state, delivery.ambiguous, delivery.ambiguous_attempts) == (state, False, 0)
    assert (len(await bench.said()), await bench.send_due()) == (1, [])


async def test_an_attempt_out_of_its_lease_stops_before_data(bench: Bench, relay: ScriptedRelay) -> None:
    await bench.hear(bench.assigned())
    (attempt,) = await bench.claim()
    await bench.end_leases()
    await bench.run(attempt)
    delivery = await bench.delivery()
    assert (relay.received, delivery.state, delivery.ambiguous, delivery.attempts_made) == ([], "deferred", False, 0)


async def test_a_fixed_mail_keeps_its_attorney_whoever_owns_the_lead_now(bench: Bench, relay: ScriptedRelay) -> None:
    relay.script[bench.address].append(Step("dot", accident="drop"))
    first = bench.assigned()
    await bench.hear(first)
    await bench.send_due()
    await bench.hear(bench.assigned(epoch=1, decision=2, attorney=EMIL, first_name="Changed"))
    await bench.make_due()
    await bench.send_due()
    said = (await bench.said())[-1]
    assert said.attorney_id == first.attorney.id
    assert len(set(relay.mails_to(bench.address))) == 1


async def test_a_mail_once_ambiguous_stays_the_same_through_later_refusals(bench: Bench, relay: ScriptedRelay) -> None:
    relay.script[bench.address].extend([Step("dot", accident="drop"), Step("rcpt", "450 later")])
    await bench.hear(bench.assigned())
    for _ in range(3):
        await bench.send_due()
        await bench.hear(bench.assigned(epoch=1, decision=2, attorney=EMIL))
        await bench.make_due()
    first, second = relay.mails_to(bench.address)
    assert first == second


async def test_an_unambiguous_mail_is_written_anew_for_a_new_attorney(bench: Bench, relay: ScriptedRelay) -> None:
    relay.script[bench.address].append(Step("rcpt", "450 later"))
    await bench.hear(bench.assigned())
    await bench.send_due()
    await bench.hear(bench.assigned(epoch=1, decision=2, attorney=EMIL))
    await bench.make_due()
    await bench.send_due()
    assert (await bench.said())[-1].attorney_id == EMIL.id
    assert b"Emil Ernst" in relay.mails_to(bench.address)[0]


async def test_by_policy_an_ambiguous_mail_is_held_until_a_person_asks(bench: Bench, relay: ScriptedRelay) -> None:
    bench.change(ambiguous_policy="hold")
    relay.script[bench.address].append(Step("dot", accident="drop"))
    await bench.hear(bench.assigned())
    await bench.send_due()
    (held,) = await bench.said()
    assert isinstance(held, OutreachFailed)
    assert (held.reason, (await bench.delivery()).ambiguous, await bench.send_due()) == ("held", True, [])

    await bench.hear(bench.requested(attorney=EMIL))
    await bench.send_due()
    assert len(set(relay.mails_to(bench.address))) == 1


async def test_a_mail_that_stays_ambiguous_is_held_after_the_limit(bench: Bench, relay: ScriptedRelay) -> None:
    bench.change(ambiguous_limit=2)
    relay.script[bench.address].extend([Step("dot", accident="drop")] * 3)
    await bench.hear(bench.assigned())
    for _ in range(3):
        await bench.send_due()
        await bench.make_due()
    assert [type(one) for one in await bench.said()] == [OutreachDeferred, OutreachFailed]
    assert len(relay.mails_to(bench.address)) == 2


async def test_stopping_cuts_an_attempt_after_its_grace_and_records_how_far_it_came(
    bench: Bench, relay: ScriptedRelay
) -> None:
    bench.change(smtp_deadline=20.0, smtp_lease=30.0, sender_grace=0.2)
    relay.script[bench.address].append(Step("dot", accident="hang"))
    await bench.hear(bench.assigned())
    async with bench.sending():
        await relay.reached.wait()
    delivery = await bench.delivery()
    assert (delivery.state, delivery.ambiguous, delivery.reason) == ("deferred", True, "ambiguous")


async def test_stopping_lets_an_attempt_in_flight_end_and_say_so(bench: Bench, relay: ScriptedRelay) -> None:
    relay.script[bench.address].append(Step("dot", accident="hang"))
    bench.change(smtp_deadline=5.0, smtp_lease=30.0, sender_grace=5.0)
    await bench.hear(bench.assigned())
    async with bench.sending():
        await relay.reached.wait()
        asyncio.get_running_loop().call_later(0.2, relay.hold.set)
    assert (await bench.delivery()).state == "sent"
    assert [type(one) for one in await bench.said()] == [LeadReachedOut]
