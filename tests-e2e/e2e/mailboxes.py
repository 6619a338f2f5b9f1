"""Reading the mail that prospects got: mail-devel by IMAP and its inbox page's feed, maildev by its HTTP API.

`mailboxes_of` chooses by what the addresses file says: an IMAP port is mail-devel's, none is maildev's.
"""

import asyncio
import email
import email.policy
import imaplib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from email.message import EmailMessage
from hashlib import sha256
from typing import Any, Protocol

import aiohttp

from e2e.stack import Stack

_PASSWORD = "dev"


@dataclass(frozen=True)
class SinkMail:
    """A mail as the sink has it."""

    address: str
    message_id: str
    content_hash: str
    """Of every byte, from a sink that tells it; else of what the prospect reads."""


class Mailboxes(Protocol):
    """Where mail ends in a test."""

    async def read(self, address: str) -> list[EmailMessage]:
        """Give the mails to one address, parsed."""

    async def survey(self, addresses: Iterable[str]) -> list[SinkMail]:
        """Give all mails to many addresses, in short."""


class MailDevel:
    """mail-devel: a mailbox opens with its address and the development password.

    A login takes it 70 ms, so many mailboxes are surveyed through the feed of its inbox page (a websocket).
    """

    def __init__(self, host: str, imap_port: int, web_url: str) -> None:
        self._host, self._port, self._web = host, imap_port, web_url

    async def read(self, address: str) -> list[EmailMessage]:
        return [_parsed(content) for content in await asyncio.to_thread(self._fetch, address)]

    async def survey(self, addresses: Iterable[str]) -> list[SinkMail]:
        found: list[SinkMail] = []
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{self._web}/websocket") as feed:

            async def ask(command: str, **fields: object) -> Any:
                await feed.send_json({"command": command, **fields})
                return (await feed.receive_json(timeout=10))["data"]

            wanted = {address.lower() for address in addresses}
            for address in (await ask("list_accounts"))["accounts"]:
                if address.lower() not in wanted:
                    continue
                mails = (await ask("list_mails", account=address, mailbox="INBOX"))["mails"]
                for mail in mails:
                    digest = ""
                    if len(mails) > 1:
                        full = await ask("get_mail", account=address, mailbox="INBOX", uid=mail["uid"])
                        digest = _content_hash(_parsed(full["mail"]["content"].encode()))
                    found.append(SinkMail(address, mail["header"]["message-id"], digest))
        return found

    def _fetch(self, address: str) -> list[bytes]:
        with imaplib.IMAP4(self._host, self._port) as imap:
            imap.login(address, _PASSWORD)
            imap.select("INBOX", readonly=True)
            _, answer = imap.search(None, "ALL")
            contents: list[bytes] = []
            for number in answer[0].split():
                _, parts = imap.fetch(number.decode(), "(RFC822)")
                contents += [part[1] for part in parts if isinstance(part, tuple)]
            return contents


class MailDev:
    """maildev: one list of everything, through its HTTP API."""

    def __init__(self, web_url: str) -> None:
        self._web = web_url

    async def read(self, address: str) -> list[EmailMessage]:
        return [message for to, message, _ in await self._all() if to == address]

    async def survey(self, addresses: Iterable[str]) -> list[SinkMail]:
        wanted = {address.lower() for address in addresses}
        mails = [one for one in await self._all() if one[0].lower() in wanted]
        return [SinkMail(to, str(mail["Message-ID"]), raw or _content_hash(mail)) for to, mail, raw in mails]

    async def _all(self) -> list[tuple[str, EmailMessage, str | None]]:
        """Address, mail, and the hash of its bytes if the sink is one that tells it: maildev itself adds headers."""
        found: list[tuple[str, EmailMessage, str | None]] = []
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{self._web}/api/email") as answer:
                answer.raise_for_status()
                listed = await answer.json()
            for one in listed:
                async with session.get(f"{self._web}/api/email/{one['id']}/download") as answer:
                    answer.raise_for_status()
                    message = _parsed(await answer.read())
                found += [(to["address"], message, one.get("sha256")) for to in one["envelope"]["to"]]
        return found


def mailboxes_of(stack: Stack) -> Mailboxes:
    """The reader that fits this stack's mail server."""
    mail = stack.run["mail"]
    if mail.get("imap_port"):
        return MailDevel(mail["smtp_host"], int(mail["imap_port"]), mail["web_url"])
    return MailDev(mail["web_url"])


def by_address(mails: Iterable[SinkMail]) -> dict[str, list[SinkMail]]:
    grouped: dict[str, list[SinkMail]] = defaultdict(list)
    for mail in mails:
        grouped[mail.address].append(mail)
    return dict(grouped)


def _parsed(content: bytes) -> EmailMessage:
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def _content_hash(message: EmailMessage) -> str:
    """Of what the prospect reads; the sink's own headers differ from copy to copy."""
    parts = [part.get_content() for part in message.walk() if not part.is_multipart()]
    return sha256("\0".join(str(part) for part in parts).encode()).hexdigest()
