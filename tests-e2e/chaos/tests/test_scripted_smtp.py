"""The scripted mail server, spoken to as the product does, and read as the end-to-end tests do."""

from collections.abc import AsyncIterator
from email.message import EmailMessage

import aiosmtplib
import pytest
import pytest_asyncio
from chaos.scripted_smtp import Drop, Hang, Reply, ScriptedSmtp, Stage
from e2e.mailboxes import MailDev

TO = "someone@example.com"


@pytest_asyncio.fixture
async def smtp() -> AsyncIterator[ScriptedSmtp]:
    server = await ScriptedSmtp().start()
    yield server
    await server.close()


async def send(smtp: ScriptedSmtp, to: str = TO) -> str:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Message-ID"], mail["Subject"] = "us@example.com", to, "<one@example.com>", "Hello"
    mail.set_content("Words.\n")
    _, answer = await aiosmtplib.send(mail, hostname="127.0.0.1", port=smtp.smtp_port, timeout=0.5, start_tls=False)
    return answer


async def test_a_mail_is_taken_recorded_and_readable(smtp: ScriptedSmtp) -> None:
    assert (await send(smtp)).startswith("stored 0")
    assert [(mail.address, mail.message_id) for mail in smtp.mails] == [(TO, "<one@example.com>")]
    (seen,) = await MailDev(smtp.web_url).survey([TO])
    assert (seen.address, seen.message_id) == (TO, "<one@example.com>")
    (read,) = await MailDev(smtp.web_url).read(TO)
    assert read.get_content().strip() == "Words."


async def test_the_same_mail_has_the_same_hash(smtp: ScriptedSmtp) -> None:
    for _ in range(2):
        await send(smtp)
    assert len({mail.content_hash for mail in smtp.mails}) == 1


@pytest.mark.parametrize("stage", ["rcpt", "data", "after_dot"])
async def test_refusals_come_n_times_then_it_is_taken(smtp: ScriptedSmtp, stage: Stage) -> None:
    smtp.script(TO, *[Reply(stage, 450)] * 2)
    for _ in range(2):
        with pytest.raises((aiosmtplib.SMTPResponseException, aiosmtplib.SMTPRecipientsRefused)):
            await send(smtp)
    assert smtp.mails == []
    await send(smtp)
    assert len(smtp.mails) == 1
    assert smtp.conversations[TO] == 3


@pytest.mark.parametrize(("stage", "taken"), [("rcpt", 0), ("data", 0), ("after_dot", 1)])
async def test_a_dropped_connection_is_no_answer(smtp: ScriptedSmtp, stage: Stage, taken: int) -> None:
    smtp.script(TO, Drop(stage))
    with pytest.raises((aiosmtplib.SMTPServerDisconnected, ConnectionError)):
        await send(smtp)
    assert len(smtp.mails) == taken


async def test_a_hang_is_longer_than_patience(smtp: ScriptedSmtp) -> None:
    smtp.script(TO, Hang("data"))
    with pytest.raises((aiosmtplib.SMTPTimeoutError, aiosmtplib.SMTPServerDisconnected)):
        await send(smtp)


async def test_the_gate_refuses_before_anybody_is_named(smtp: ScriptedSmtp) -> None:
    smtp.gate += [Reply("connect", 421), Reply("mail", 451)]
    with pytest.raises(aiosmtplib.SMTPConnectError):
        await send(smtp)
    with pytest.raises(aiosmtplib.SMTPSenderRefused):
        await send(smtp)
    await send(smtp)
    assert len(smtp.mails) == 1


async def test_another_recipient_is_not_touched(smtp: ScriptedSmtp) -> None:
    smtp.script(TO, Reply("rcpt", 550))
    await send(smtp, "another@example.com")
    assert [mail.address for mail in smtp.mails] == ["another@example.com"]
