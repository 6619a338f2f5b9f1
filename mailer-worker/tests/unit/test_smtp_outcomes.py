"""What each failure means: the table in `smtp`, reply by reply."""

import aiosmtplib
import pytest
from mailer_worker.mail_sender import (
    RELAYING_DENIED,
    Ambiguous,
    DefinitelyNotSent,
    Outcome,
    OutgoingMail,
    RelayAway,
    Sent,
    Stopped,
)
from mailer_worker.settings import MailerSettings
from mailer_worker.smtp import SmtpSender, classify

from ..scripted_relay import ScriptedRelay, Step

LOST = aiosmtplib.SMTPServerDisconnected("x")
LATE = aiosmtplib.SMTPReadTimeoutError("x")
GARBLED = aiosmtplib.SMTPResponseException(-1, "x")


def refused(code: int, words: str) -> aiosmtplib.SMTPRecipientRefused:
    return aiosmtplib.SMTPRecipientRefused(code, words, "r@x.example")


@pytest.mark.parametrize(
    ("stage", "error", "outcome"),
    [
        ("connect", OSError(), RelayAway("connect")),
        ("connect", aiosmtplib.SMTPConnectTimeoutError("x"), RelayAway("timeout")),
        ("connect", TimeoutError(), RelayAway("timeout")),
        ("connect", aiosmtplib.SMTPConnectResponseError(421, "x"), RelayAway("greeting", 421)),
        ("connect", aiosmtplib.SMTPConnectResponseError(554, "x"), RelayAway("greeting", 554)),
        ("connect", aiosmtplib.SMTPHeloError(502, "x"), RelayAway("ehlo", 502)),
        ("connect", aiosmtplib.SMTPAuthenticationError(535, "x"), RelayAway("auth", 535)),
        ("connect", aiosmtplib.SMTPNotSupported("x"), RelayAway("connect")),
        ("mail", aiosmtplib.SMTPSenderRefused(451, "x", "s"), DefinitelyNotSent(False, 451, "refused_for_now", "mail")),
        ("mail", aiosmtplib.SMTPSenderRefused(550, "x", "s"), RelayAway("sender_refused", 550)),
        ("mail", aiosmtplib.SMTPSenderRefused(530, "x", "s"), RelayAway("auth", 530)),
        ("rcpt", refused(530, "5.7.0 authenticate first"), RelayAway(RELAYING_DENIED, 530)),
        ("data", aiosmtplib.SMTPDataError(530, "5.7.0 authenticate first"), RelayAway(RELAYING_DENIED, 530)),
        ("mail", LOST, DefinitelyNotSent(False, None, "disconnected", "mail")),
        ("rcpt", LOST, DefinitelyNotSent(False, None, "disconnected", "rcpt")),
        ("rcpt", LATE, DefinitelyNotSent(False, None, "timeout", "rcpt")),
        ("rcpt", TimeoutError(), DefinitelyNotSent(False, None, "timeout", "rcpt")),
        (
            "rcpt",
            aiosmtplib.SMTPRecipientRefused(421, "x", "r"),
            DefinitelyNotSent(False, 421, "refused_for_now", "rcpt"),
        ),
        (
            "rcpt",
            aiosmtplib.SMTPRecipientRefused(450, "x", "r"),
            DefinitelyNotSent(False, 450, "refused_for_now", "rcpt"),
        ),
        ("rcpt", aiosmtplib.SMTPRecipientRefused(550, "x", "r"), DefinitelyNotSent(True, 550, "refused", "rcpt")),
        ("rcpt", refused(550, "5.1.1 no such user"), DefinitelyNotSent(True, 550, "refused", "rcpt")),
        ("rcpt", refused(554, "5.7.0 policy"), DefinitelyNotSent(True, 554, "refused", "rcpt")),
        ("rcpt", refused(450, "4.7.1 greylisted"), DefinitelyNotSent(False, 450, "refused_for_now", "rcpt")),
        ("rcpt", refused(550, "5.7.1 not authorized"), RelayAway(RELAYING_DENIED, 550)),
        ("rcpt", refused(554, "5.7.1 <r@x.example>: Relay access denied"), RelayAway(RELAYING_DENIED, 554)),
        ("rcpt", refused(550, "first line\n5.7.1 second line"), RelayAway(RELAYING_DENIED, 550)),
        ("rcpt", refused(550, "relaying denied"), RelayAway(RELAYING_DENIED, 550)),
        ("rcpt", refused(550, "5.7.54 SMTP; Unable to relay recipient"), RelayAway(RELAYING_DENIED, 550)),
        ("rcpt", refused(550, "5.7.10 something else"), DefinitelyNotSent(True, 550, "refused", "rcpt")),
        (
            "data",
            aiosmtplib.SMTPDataError(550, "5.7.1 looks like spam"),
            DefinitelyNotSent(True, 550, "refused", "data"),
        ),
        ("rcpt", GARBLED, DefinitelyNotSent(False, -1, "refused_for_now", "rcpt")),
        ("data", aiosmtplib.SMTPDataError(421, "x"), DefinitelyNotSent(False, 421, "refused_for_now", "data")),
        ("data", aiosmtplib.SMTPDataError(452, "x"), DefinitelyNotSent(False, 452, "refused_for_now", "data")),
        ("data", aiosmtplib.SMTPDataError(554, "x"), DefinitelyNotSent(True, 554, "refused", "data")),
        ("data", aiosmtplib.SMTPDataError(251, "x"), Ambiguous("bad_reply")),
        ("data", LOST, Ambiguous("disconnected")),
        ("data", LATE, Ambiguous("timeout")),
        ("data", TimeoutError(), Ambiguous("timeout")),
        ("data", ConnectionResetError(), Ambiguous("disconnected")),
        ("data", GARBLED, Ambiguous("bad_reply")),
    ],
    ids=str,
)
def test_a_failure_means(stage: str, error: Exception, outcome: Outcome) -> None:
    assert classify(stage, error) == outcome


@pytest.mark.parametrize(
    ("outcome", "is_about_address"),
    [
        (DefinitelyNotSent(True, 550, "refused", "rcpt"), True),
        (DefinitelyNotSent(True, 551, "refused", "rcpt"), True),
        (DefinitelyNotSent(True, 553, "refused", "rcpt"), True),
        (DefinitelyNotSent(True, 552, "refused", "rcpt"), False),
        (DefinitelyNotSent(True, 554, "refused", "rcpt"), False),
        (DefinitelyNotSent(True, 550, "refused", "data"), False),
        (DefinitelyNotSent(False, 450, "refused_for_now", "rcpt"), False),
        (DefinitelyNotSent(True, None, "unsendable_address"), False),
    ],
)
def test_only_some_refusals_are_about_the_address(outcome: DefinitelyNotSent, is_about_address: bool) -> None:
    assert outcome.is_about_address is is_about_address


@pytest.mark.parametrize(
    "address",
    [
        "a@x.example, evil@x.example",
        "a@x.example\r\nRCPT TO:<evil@x.example>",
        "a@x.example\u2028evil",
        " a@x.example",
        "a@x.example ",
        "<a@x.example>",
        "Ada <a@x.example>",
        "a b@x.example",
        "nobody",
        "",
    ],
)
async def test_an_address_that_cannot_go_on_the_wire_as_it_is_is_refused_without_a_connection(
    settings: MailerSettings, relay: ScriptedRelay, address: str
) -> None:
    outcome = await SmtpSender(settings).send(OutgoingMail("s@firm.example", address, b"x"), _yes)
    assert (outcome, relay.connections) == (DefinitelyNotSent(True, None, "unsendable_address"), 0)


async def test_an_address_beyond_ascii_goes_to_a_relay_that_can(settings: MailerSettings, relay: ScriptedRelay) -> None:
    sender, mail = SmtpSender(settings), OutgoingMail("s@firm.example", "søren@x.example", b"Subject: x\r\n\r\nx\r\n")
    assert await sender.send(mail, _yes) == Sent()
    relay.smtputf8 = False
    assert await sender.send(mail, _yes) == DefinitelyNotSent(True, None, "unsendable_address")
    assert [one.recipients for one in relay.received] == [["søren@x.example"]]
    await sender.close()


async def test_a_mail_stopped_before_data_never_reaches_data(settings: MailerSettings, relay: ScriptedRelay) -> None:
    sender = SmtpSender(settings)
    assert await sender.send(OutgoingMail("s@firm.example", "a@x.example", b"x"), _no) == Stopped()
    assert relay.received == []
    await sender.close()


async def test_an_error_of_the_last_check_is_the_callers(settings: MailerSettings, relay: ScriptedRelay) -> None:
    sender = SmtpSender(settings)
    with pytest.raises(ConnectionError):
        await sender.send(OutgoingMail("s@firm.example", "a@x.example", b"x"), _broken)
    assert relay.received == []
    await sender.close()


async def test_lines_that_begin_with_a_dot_arrive_as_they_are(settings: MailerSettings, relay: ScriptedRelay) -> None:
    sender, content = SmtpSender(settings), b"Subject: x\r\n\r\n.\r\n..two\r\nend\r\n"
    await sender.send(OutgoingMail("s@firm.example", "a@x.example", content), _yes)
    await sender.close()
    assert relay.mails_to("a@x.example") == [content]


async def test_a_relay_that_hangs_at_rcpt_is_given_up_at_the_deadline(
    settings: MailerSettings, relay: ScriptedRelay
) -> None:
    sender = SmtpSender(settings.model_copy(update={"smtp_deadline": 0.3}))
    relay.script["a@x.example"].append(Step("rcpt", accident="hang"))
    outcome = await sender.send(OutgoingMail("s@firm.example", "a@x.example", b"x"), _yes)
    assert outcome == DefinitelyNotSent(False, None, "timeout", "rcpt")
    relay.hold.set()
    await sender.close()


async def _yes() -> bool:
    return True


async def _no() -> bool:
    return False


async def _broken() -> bool:
    raise ConnectionError
