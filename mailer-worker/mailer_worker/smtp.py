"""The one adapter over aiosmtplib: each step of RFC 5321 is driven by itself, so that its failure has a meaning.

| step that failed | means |
|---|---|
| connect, greeting, EHLO, TLS, authentication; the sender refused for good | the relay is away for every mail |
| MAIL or RCPT: 4xx, disconnect, timeout; DATA: 4xx | definitely not sent, try again |
| RCPT: 5xx because it does not relay for us (5.7.1 of RFC 3463, or in words) | the relay is away, whoever it is for |
| RCPT, DATA: authentication wanted (530, 534, 535, 538) | the same: the probe, which names no recipient, cannot tell |
| RCPT: 550, 551, 553 | definitely not sent, for good; nor will another mail to this address be |
| RCPT: other 5xx; DATA: 5xx; an address that cannot go on the wire as it is stored | definitely not sent, for good |
| disconnect, timeout or an unreadable reply inside DATA | ambiguous |

aiosmtplib's ``sendmail`` hides these differences and trims addresses it cannot parse.
"""

import asyncio
import contextlib
import re

import aiosmtplib
from aiosmtplib.email import parse_address

from mailer_worker.mail_sender import (
    RELAYING_DENIED,
    Ambiguous,
    BeforeData,
    DefinitelyNotSent,
    Outcome,
    OutgoingMail,
    RelayAway,
    Sent,
    Stopped,
)
from mailer_worker.settings import MailServerGroup

AUTHENTICATION_CODES = frozenset({530, 534, 535, 538})
_NO_RELAYING = re.compile(
    r"^5\.7\.1\b|\brelay(ing)?( access)? (is )?(denied|prohibited|not (permitted|allowed))|\bunable to relay\b",
    re.IGNORECASE | re.MULTILINE,
)
QUIT_S = 2.0
PROBE_S = 10.0

_Failure = (aiosmtplib.SMTPException, OSError, TimeoutError)


class SmtpSender:
    """Sends through the relay of the settings; one connection per mail, closed behind the caller's back."""

    def __init__(self, settings: MailServerGroup) -> None:
        self._settings = settings
        self._partings: set[asyncio.Task[None]] = set()

    async def send(self, mail: OutgoingMail, before_data: BeforeData) -> Outcome:
        """Try once within the SMTP deadline. Returns as soon as the relay has answered: QUIT comes afterwards."""
        if not _goes_on_the_wire_as_it_is(mail.recipient):
            return DefinitelyNotSent(permanent=True, code=None, reason="unsendable_address")
        client = self._make_client()
        stage, response = "connect", None
        try:
            async with asyncio.timeout(self._settings.smtp_deadline):
                await self._open(client)
                stage = "mail"
                options = self._options(client, mail.recipient)
                if options is None:
                    return DefinitelyNotSent(permanent=True, code=None, reason="unsendable_address")
                await client.mail(mail.sender, options=options)
                stage = "rcpt"
                await client.rcpt(mail.recipient, encoding="utf-8")
                stage = "check"
                if not await before_data():
                    return Stopped()
                stage = "data"
                response = await client.data(mail.content)
                return Sent(response.code)
        except _Failure as error:
            if stage == "check":
                raise
            return classify(stage, error)
        finally:
            self._part(client, politely=stage != "data" or response is not None)

    async def probe(self) -> bool:
        """Connect, greet, authenticate and name the sender: the steps that every mail begins with."""
        client = self._make_client()
        stage = "connect"
        try:
            async with asyncio.timeout(min(PROBE_S, self._settings.smtp_deadline)):
                await self._open(client)
                stage = "mail"
                await client.mail(self._settings.from_address)
        except _Failure as error:
            return _code_of(error) is not None and not isinstance(classify(stage, error), RelayAway)
        finally:
            self._part(client, politely=True)
        return True

    async def close(self) -> None:
        """Wait for connections still being closed (at most two seconds each)."""
        await asyncio.gather(*self._partings, return_exceptions=True)

    def _make_client(self) -> aiosmtplib.SMTP:
        settings = self._settings
        return aiosmtplib.SMTP(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            use_tls=settings.smtp_tls == "implicit",
            start_tls=settings.smtp_tls == "starttls",
            timeout=settings.smtp_deadline,
        )

    async def _open(self, client: aiosmtplib.SMTP) -> None:
        await client.connect()
        try:
            await client.ehlo()
        except aiosmtplib.SMTPHeloError:
            await client.helo()  # RFC 5321 s. 4.1.1.1: a relay may know only HELO
        if self._settings.smtp_username and self._settings.smtp_password:
            await client.login(self._settings.smtp_username, self._settings.smtp_password.get_secret_value())

    def _options(self, client: aiosmtplib.SMTP, recipient: str) -> list[str] | None:
        """Options of MAIL; None when the address needs SMTPUTF8 (RFC 6531) and the relay has it not."""
        if recipient.isascii():
            return []
        return ["SMTPUTF8", "BODY=8BITMIME"] if client.supports_extension("smtputf8") else None

    def _part(self, client: aiosmtplib.SMTP, *, politely: bool) -> None:
        if not politely:
            client.close()
            return
        task = asyncio.create_task(_quit(client), name="smtp-quit")
        self._partings.add(task)
        task.add_done_callback(self._partings.discard)


def classify(stage: str, error: BaseException) -> Outcome:
    """What a failure at ``stage`` (connect, mail, rcpt or data) means."""
    code = _code_of(error)
    if away := _away(stage, error, code):
        return RelayAway(away, code)
    if stage == "data" and not (isinstance(error, aiosmtplib.SMTPDataError) and code is not None and code >= 400):
        return Ambiguous(
            "timeout" if isinstance(error, TimeoutError) else "disconnected" if code is None else "bad_reply"
        )
    if code is None:
        reason = "timeout" if isinstance(error, TimeoutError) else "disconnected"
        return DefinitelyNotSent(permanent=False, code=None, reason=reason, stage=stage)
    permanent = 500 <= code < 600
    reason = "refused" if permanent else "refused_for_now"
    return DefinitelyNotSent(permanent=permanent, code=code, reason=reason, stage=stage)


def _away(stage: str, error: BaseException, code: int | None) -> str | None:
    """How far we came with a relay that takes no mail at all; None when the failure is this mail's."""
    if stage == "connect":
        return _connect_stage(error)
    if code in AUTHENTICATION_CODES:
        return "auth" if stage == "mail" else RELAYING_DENIED
    if code is None or code < 500:
        return None
    if stage == "mail":
        return "sender_refused"
    return RELAYING_DENIED if stage == "rcpt" and _NO_RELAYING.search(_words_of(error)) else None


def _code_of(error: BaseException) -> int | None:
    code = getattr(error, "code", None)
    return code if isinstance(code, int) else None


def _words_of(error: BaseException) -> str:
    """The relay's text. To be looked at, never kept: it quotes addresses."""
    words = getattr(error, "message", "")
    return words if isinstance(words, str) else ""


def _connect_stage(error: BaseException) -> str:
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return "auth"
    if isinstance(error, aiosmtplib.SMTPConnectResponseError):
        return "greeting"
    if isinstance(error, aiosmtplib.SMTPHeloError):
        return "ehlo"
    return "timeout" if isinstance(error, TimeoutError) else "connect"


def _goes_on_the_wire_as_it_is(address: str) -> bool:
    """Whether aiosmtplib would put exactly this address on the wire (it trims what it cannot parse)."""
    try:
        return "@" in address and address.isprintable() and parse_address(address) == address
    except ValueError:
        return False


async def _quit(client: aiosmtplib.SMTP) -> None:
    with contextlib.suppress(*_Failure):  # the mail's outcome is known; a rude relay changes nothing
        if client.is_connected:
            async with asyncio.timeout(QUIT_S):
                await client.quit()
    client.close()
