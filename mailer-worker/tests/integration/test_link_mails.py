"""The mail of a prospect's link: sent like any other, told to nobody, and never kept with its token."""

import email
import email.policy
from datetime import UTC, datetime
from email.message import EmailMessage

from mailer_worker.lead_description import describe_lead
from mailer_worker.mail_sender import Ambiguous
from sqlalchemy import text

from ..bench import Bench
from ..scripted_relay import ScriptedRelay, Step


def token_in(content: bytes) -> str:
    mail = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    plain = mail.get_body(("plain",))
    assert plain is not None
    (line,) = (line for line in plain.get_content().splitlines() if "#" in line)
    return str(line.partition("#")[2])


async def stored(bench: Bench) -> str:
    """Everything that the mailer's tables and its outbox hold, as text."""
    async with bench.sessions() as session:
        deliveries = (await session.execute(text("SELECT * FROM deliveries"))).all()
        outbox = (await session.execute(text("SELECT * FROM outbox"))).all()
    cells = [cell for row in (*deliveries, *outbox) for cell in row]
    return " ".join(cell.decode("latin-1") if isinstance(cell, bytes) else str(cell) for cell in cells)


async def states(bench: Bench) -> list[tuple[str, int, str, str | None]]:
    query = text("SELECT kind, sequence, state, reason FROM deliveries ORDER BY kind, sequence")
    async with bench.sessions() as session:
        return [(row[0], row[1], row[2], row[3]) for row in (await session.execute(query)).all()]


async def test_a_links_mail_is_sent_once_holds_the_token_and_says_nothing(bench: Bench, relay: ScriptedRelay) -> None:
    event = bench.link_requested()
    await bench.hear(event, event)
    await bench.send_due()
    (mail,) = relay.mails_to(bench.address)
    assert bench.tokens.read(token_in(mail), datetime.now(UTC)) == event.link_id
    assert await states(bench) == [("prospect_link", 1, "sent", None)]
    assert await bench.said() == []
    assert token_in(mail) not in (await stored(bench)).replace("=\r\n", "")
    described = await describe_lead(bench.sessions, bench.lead_id)
    assert described is not None
    assert described["deliveries"][0]["attorney_id"] is None


async def test_each_link_has_a_mail_beside_the_welcome_mail(bench: Bench, relay: ScriptedRelay) -> None:
    first, second = bench.link_requested(), bench.link_requested()
    await bench.hear(first, bench.assigned(), second, first, bench.cancelled(epoch=0))
    await bench.send_due()
    assert await states(bench) == [
        ("prospect_link", 1, "sent", None),
        ("prospect_link", 2, "sent", None),
        ("welcome", 1, "cancelled", None),
    ]
    tokens = {token_in(mail) for mail in relay.mails_to(bench.address)}
    assert {bench.tokens.read(token, datetime.now(UTC)) for token in tokens} == {first.link_id, second.link_id}


async def test_a_second_copy_of_a_links_mail_is_the_same_to_the_byte(bench: Bench, relay: ScriptedRelay) -> None:
    relay.script[bench.address].append(Step("dot", accident="drop"))
    await bench.hear(bench.link_requested())
    (outcome,) = await bench.send_due()
    assert isinstance(outcome, Ambiguous)
    await bench.make_due()
    await bench.send_due()
    first, second = relay.mails_to(bench.address)
    assert first == second
    assert await bench.said() == []


async def test_a_links_mail_past_its_time_is_dropped_and_the_reason_kept(bench: Bench, relay: ScriptedRelay) -> None:
    await bench.hear(bench.link_requested(lifetime=-1))
    assert await bench.send_due() == []
    assert (relay.received, await bench.said()) == ([], [])
    assert await states(bench) == [("prospect_link", 1, "failed", "expired")]


async def test_a_refused_address_gets_no_links_mail_either(bench: Bench, relay: ScriptedRelay) -> None:
    relay.script[bench.address].append(Step("rcpt", "550 nobody here"))
    await bench.hear(bench.assigned())
    await bench.send_due()
    await bench.said()
    await bench.hear(bench.link_requested())
    await bench.send_due()
    assert (await states(bench))[0] == ("prospect_link", 1, "failed", "suppressed")
    assert (relay.received, await bench.said()) == ([], [])


async def test_erasure_takes_the_mails_of_links_along_and_a_late_request_finds_the_tombstone(
    bench: Bench, relay: ScriptedRelay
) -> None:
    await bench.hear(bench.link_requested(), bench.link_requested(), bench.erased())
    (said,) = await bench.said()
    assert said.counts["deliveries"] == 2
    await bench.hear(bench.link_requested())
    await bench.send_due()
    assert (await states(bench), relay.received) == ([], [])
    assert bench.address not in await stored(bench)
