"""The relay is away: nothing is attempted, nothing is burned, and each due delivery says so once."""

from uuid import uuid4

import pytest
from mailer_worker.mail_sender import RelayAway
from pydantic import SecretStr
from shared_schemas.events import LeadReachedOut, OutreachDeferred

from ..bench import Bench
from ..scripted_relay import ScriptedRelay


async def test_a_refused_connection_burns_no_attempt_and_is_said_once(bench: Bench, relay: ScriptedRelay) -> None:
    await relay.stop()
    await bench.hear(bench.assigned())
    for _ in range(3):
        (outcome,) = await bench.send_due()
        assert isinstance(outcome, RelayAway)
    (said,) = await bench.said()
    delivery = await bench.delivery()
    assert isinstance(said, OutreachDeferred)
    assert (said.reason, said.next_attempt_at, said.attempt) == ("relay_away", None, 1)
    assert (delivery.state, delivery.attempts_made, delivery.ambiguous) == ("deferred", 0, False)


async def test_each_due_delivery_says_it_waits_and_all_are_sent_when_the_relay_is_back(
    bench: Bench, relay: ScriptedRelay
) -> None:
    await relay.stop()
    leads = [bench.assigned(), *(bench.assigned(lead_id=uuid4(), email=f"{number}@p.example") for number in range(8))]
    await bench.hear(*leads)
    async with bench.sending(2):
        for lead in leads:
            await bench.until(lambda found: found[0].reason == "relay_away", lead_id=lead.lead_id)
        await relay.start()
        for lead in leads:
            await bench.until(lambda found: found[0].state == "sent", lead_id=lead.lead_id)
    said = await bench.said()
    reached = [one for one in said if isinstance(one, LeadReachedOut)]
    deferred = [one.lead_id for one in said if isinstance(one, OutreachDeferred)]
    assert sorted(deferred) == sorted(lead.lead_id for lead in leads)
    assert [(one.attempts, one.ambiguous) for one in reached] == [(1, False)] * len(leads)
    assert len(relay.received) == len(leads)


@pytest.mark.parametrize(
    ("fault", "reply", "stage"),
    [
        ("greeting", "421 too busy", "greeting"),
        ("greeting", "554 no service", "greeting"),
        ("mail_reply", "550 sender unknown", "sender_refused"),
        ("mail_reply", "530 authenticate first", "auth"),
        ("auth_reply", "535 wrong", "auth"),
    ],
)
async def test_what_concerns_every_mail_is_the_relay_being_away(
    bench: Bench, relay: ScriptedRelay, fault: str, reply: str, stage: str
) -> None:
    setattr(relay, fault, reply)
    bench.change(smtp_username="us", smtp_password=SecretStr("pw"))
    await bench.hear(bench.assigned())
    (outcome,) = await bench.send_due()
    assert isinstance(outcome, RelayAway)
    assert (outcome.stage, await bench.smtp.probe(), (await bench.delivery()).attempts_made) == (stage, False, 0)


async def test_tls_that_the_relay_cannot_speak_and_an_unknown_host_are_the_relay_being_away(
    bench: Bench, relay: ScriptedRelay
) -> None:
    await bench.hear(bench.assigned())
    for change in ({"smtp_tls": "starttls"}, {"smtp_tls": "implicit"}, {"smtp_host": "nowhere.invalid"}):
        bench.change(**change)
        (outcome,) = await bench.send_due()
        assert isinstance(outcome, RelayAway)
    assert (relay.received, (await bench.delivery()).attempts_made) == ([], 0)


async def test_a_refusal_of_the_sender_for_now_is_the_mails_own(bench: Bench, relay: ScriptedRelay) -> None:
    relay.mail_reply = "451 try again"
    await bench.hear(bench.assigned())
    await bench.send_due()
    (said,) = await bench.said()
    assert (said.reason, said.next_attempt_at is None, await bench.smtp.probe()) == ("refused_for_now", False, True)


async def test_a_relay_that_is_back_answers_the_probe(bench: Bench, relay: ScriptedRelay) -> None:
    assert await bench.smtp.probe()
    await relay.stop()
    assert not await bench.smtp.probe()
