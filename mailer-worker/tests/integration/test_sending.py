"""The ordinary life of a delivery, against a real relay."""

import email
import email.policy
import hashlib
from datetime import timedelta
from uuid import uuid4

import pytest
from mailer_worker.mail_sender import RELAYING_DENIED, RelayAway
from mailer_worker.models import Delivery, Suppression
from prometheus_client import REGISTRY
from pydantic import SecretStr
from shared_schemas.events import LeadReachedOut, OutreachDeferred, OutreachFailed
from sqlalchemy import select

from ..bench import DORA, TRACE, Bench
from ..scripted_relay import ScriptedRelay, Step


async def test_an_assigned_lead_is_stored_and_nothing_is_sent_by_the_handler(
    bench: Bench, relay: ScriptedRelay
) -> None:
    await bench.hear(bench.assigned())
    delivery = await bench.delivery()
    assert (delivery.state, delivery.attempt, delivery.recipient, delivery.sequence) == ("queued", 0, "prospect", 1)
    assert (await bench.said(), relay.connections) == ([], 0)


async def test_a_lead_whose_mail_is_not_wanted_gets_no_delivery(bench: Bench) -> None:
    await bench.hear(bench.assigned(outreach=False))
    assert await bench.deliveries() == []


async def test_a_due_delivery_is_sent_once_and_said(bench: Bench, relay: ScriptedRelay) -> None:
    await bench.hear(bench.assigned())
    await bench.send_due()
    await bench.send_due()
    delivery = await bench.delivery()
    (content,) = relay.mails_to(bench.address)
    (said,) = await bench.said()
    assert said == LeadReachedOut(
        lead_id=bench.lead_id,
        delivery_id=delivery.id,
        kind="welcome",
        attorney_id=DORA.id,
        message_id=f"<{delivery.id}.1@firm.example>",
        attempts=1,
        ambiguous=False,
        sent_at=said.sent_at,
    )
    assert (delivery.state, delivery.sent_at, delivery.smtp_code) == ("sent", said.sent_at, 250)
    mail = email.message_from_bytes(content, policy=email.policy.default)
    assert (mail["Message-ID"], mail["To"]) == (said.message_id, bench.address)


async def test_the_envelope_has_exactly_the_stored_address(bench: Bench, relay: ScriptedRelay) -> None:
    address = "Ada.O'Byron+Case=7@Prospect.Example"
    await bench.hear(bench.assigned(email=address))
    await bench.send_due()
    (received,) = relay.received
    assert (received.recipients, received.sender) == ([address], "intake@firm.example")


async def test_the_event_is_said_in_the_trace_of_the_lead(bench: Bench) -> None:
    await bench.hear(bench.assigned())
    await bench.send_due()
    assert f"'{TRACE}'" in await bench.everything()


async def test_a_refusal_for_now_is_tried_again_with_a_growing_delay_and_sent_once(
    bench: Bench, relay: ScriptedRelay
) -> None:
    relay.script[bench.address].extend(
        [Step("rcpt", "450 greylisted"), Step("data", "452 full"), Step("rcpt", "421 bye")]
    )
    await bench.hear(bench.assigned())
    delays = []
    for _ in range(3):
        await bench.send_due()
        delivery = await bench.delivery()
        (said,) = await bench.said()
        assert isinstance(said, OutreachDeferred)
        assert (said.attempt, said.reason, said.ambiguous) == (delivery.attempt, "refused_for_now", False)
        assert said.next_attempt_at == delivery.next_attempt_at
        delays.append(_seconds(delivery))
        await bench.make_due()
    await bench.send_due()
    (reached,) = await bench.said()
    assert isinstance(reached, LeadReachedOut)
    assert (delays, reached.attempts, len(relay.mails_to(bench.address))) == ([30, 60, 120], 4, 1)


def _seconds(delivery: Delivery) -> int:
    assert delivery.next_attempt_at is not None
    return round((delivery.next_attempt_at - delivery.changed_at) / timedelta(seconds=1))


async def test_a_deferred_delivery_is_not_attempted_before_its_time(bench: Bench, relay: ScriptedRelay) -> None:
    relay.script[bench.address].append(Step("rcpt", "450 later"))
    await bench.hear(bench.assigned())
    await bench.send_due()
    assert await bench.send_due() == []


async def test_a_mail_put_off_for_two_days_has_expired(bench: Bench, relay: ScriptedRelay) -> None:
    before = REGISTRY.get_sample_value("mailer_mails_total", {"outcome": "failed_expired"}) or 0
    relay.script[bench.address].append(Step("rcpt", "450 later"))
    await bench.hear(bench.assigned())
    await bench.sql("UPDATE deliveries SET first_queued_at = now() - interval '48 hours'")
    await bench.send_due()
    (said,) = await bench.said()
    assert isinstance(said, OutreachFailed)
    assert (said.reason, said.smtp_code, said.attempts) == ("expired", 450, 1)
    assert REGISTRY.get_sample_value("mailer_mails_total", {"outcome": "failed_expired"}) == before + 1
    assert await bench.send_due() == []


async def test_a_refusal_at_rcpt_fails_at_once_and_suppresses_the_address(bench: Bench, relay: ScriptedRelay) -> None:
    relay.script[bench.address].append(Step("rcpt", "550 no such user"))
    await bench.hear(bench.assigned())
    await bench.send_due()
    (said,) = await bench.said()
    assert isinstance(said, OutreachFailed)
    assert (said.reason, said.smtp_code, said.attempts) == ("refused", 550, 1)

    other = bench.assigned(lead_id=DORA.id, email=bench.address.upper())
    await bench.hear(other)
    assert await bench.send_due() == []
    (suppressed,) = await bench.said()
    assert (suppressed.lead_id, suppressed.reason, suppressed.attempts) == (other.lead_id, "suppressed", 0)


async def test_s62_who_has_the_list_but_not_its_key_cannot_try_addresses_against_it(
    bench: Bench, relay: ScriptedRelay
) -> None:
    relay.script[bench.address].append(Step("rcpt", "550 no such user"))
    await bench.hear(bench.assigned())
    await bench.send_due()
    await bench.hear(bench.erased())
    async with bench.sessions() as session:
        (kept,) = await session.scalars(select(Suppression.address_hash))
    address = bench.address.encode()
    guesses = {
        hashlib.new(name, text).digest() for name in ("sha256", "blake2s") for text in (address, address.upper())
    }
    assert kept not in guesses
    assert bench.address not in await bench.everything()
    for secret, count in (("another-secret", 1), (bench.settings.suppression_secret.get_secret_value(), 0)):
        bench.change(suppression_secret=SecretStr(secret))
        await bench.hear(bench.assigned(lead_id=uuid4()))
        assert len(await bench.send_due()) == count


@pytest.mark.parametrize("step", [Step("rcpt", "554 no"), Step("data", "554 rejected"), Step("data", "550 spam")])
async def test_a_refusal_of_the_mail_fails_at_once_and_leaves_the_address_alone(
    bench: Bench, relay: ScriptedRelay, step: Step
) -> None:
    relay.script[bench.address].append(step)
    await bench.hear(bench.assigned())
    await bench.send_due()
    (said,) = await bench.said()
    assert (said.reason, said.smtp_code, relay.received) == ("refused", int(step.reply[:3]), [])

    await bench.hear(bench.assigned(lead_id=DORA.id))
    await bench.send_due()
    assert len(relay.mails_to(bench.address)) == 1


@pytest.mark.parametrize(
    "step",
    [
        Step("rcpt", "554 5.7.1 Relay access denied"),
        Step("rcpt", "530 5.7.0 Authentication required"),
        Step("data", "530 5.7.0 Authentication required"),
    ],
    ids=str,
)
async def test_a_relay_that_does_not_relay_for_us_fails_no_mail(bench: Bench, relay: ScriptedRelay, step: Step) -> None:
    relay.script[bench.address].append(step)
    await bench.hear(bench.assigned())
    (outcome,) = await bench.send_due()
    assert outcome == RelayAway(RELAYING_DENIED, int(step.reply[:3])), "the circuit opens"
    (said,) = await bench.said()
    assert isinstance(said, OutreachDeferred)
    assert (said.reason, said.next_attempt_at is None) == (RELAYING_DENIED, False)
    assert await bench.send_due() == [], "it waits by its own clock, so it cannot hold up others at every probe"


async def test_an_address_that_would_be_trimmed_is_refused_not_trimmed(bench: Bench, relay: ScriptedRelay) -> None:
    await bench.hear(bench.assigned(email="a@x.example, evil@x.example"))
    await bench.send_due()
    (said,) = await bench.said()
    assert (said.reason, said.smtp_code, relay.connections) == ("refused", None, 0)


async def test_a_mail_that_cannot_be_made_is_held_and_its_neighbours_go(bench: Bench, relay: ScriptedRelay) -> None:
    await bench.hear(bench.assigned(attorney={"id": DORA.id, "name": "D", "email": "not an address"}))
    await bench.hear(bench.assigned(lead_id=DORA.id, email="neighbour@prospect.example"))
    await bench.send_due()
    assert [(one.reason if isinstance(one, OutreachFailed) else "sent") for one in await bench.said()] == [
        "held",
        "sent",
    ]
    assert len(relay.mails_to("neighbour@prospect.example")) == 1


async def test_a_connection_lost_before_data_is_not_ambiguous(bench: Bench, relay: ScriptedRelay) -> None:
    relay.script[bench.address].append(Step("rcpt", accident="drop"))
    await bench.hear(bench.assigned())
    await bench.send_due()
    (said,) = await bench.said()
    assert (said.reason, said.ambiguous, (await bench.delivery()).mail) == ("disconnected", False, None)
