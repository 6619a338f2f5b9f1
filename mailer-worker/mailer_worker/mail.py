"""The mails: text and HTML from the templates, one set of bytes for every attempt.

The name is the only thing in a welcome mail that a visitor typed: capped, on one line, escaped in HTML, and not
clickable; in the mail of a link there is nothing (docs/design.md, invariant 8; RFC 3834 for ``Auto-Submitted``,
RFC 5322 s. 3.6.4 for the Message-ID).
"""

import email
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from uuid import UUID

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from service_chassis.prospect_link import LinkTokens

NAME_LIMIT = 60
_HEADER_LINE = 250
"""Headers are folded late: a folded or encoded Message-ID would no longer be the same to every reader."""

_MARK = "--prospect-link-token--"
"""Stands in a frozen mail where the token goes: what is in a table opens nothing."""

_LINK_DOT = re.compile(r"(?<=\w)\.(?=\w\w)")


@dataclass(frozen=True)
class WelcomeMail:
    """What a welcome mail is made of."""

    first_name: str = field(repr=False)
    last_name: str = field(repr=False)
    address: str = field(repr=False)
    attorney_name: str
    attorney_email: str = field(repr=False)
    message_id: str


@dataclass(frozen=True)
class LinkMail:
    """What the mail of a prospect's link is made of."""

    address: str = field(repr=False)
    expires_at: datetime
    message_id: str


class UnsendableAddressError(ValueError):
    """The stored address is none that a mail can be addressed to."""


class MailWriter:
    """Renders mails from the package's own templates; a name missing there is an error, never a blank."""

    def __init__(
        self, from_name: str, from_address: str, firm_name: str, prospect_page: str, link_tokens: LinkTokens
    ) -> None:
        """``prospect_page`` is the page that opens a link, whose token comes behind its ``#``."""
        self._from = Address(display_name=from_name, addr_spec=from_address)
        self._firm_name = firm_name
        self._prospect_page = prospect_page
        self._link_tokens = link_tokens
        self._templates = Environment(
            loader=PackageLoader("mailer_worker"),
            autoescape=select_autoescape(enabled_extensions=("html.j2",), disabled_extensions=("txt.j2", "subject.j2")),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def write(self, mail: WelcomeMail, date: datetime) -> bytes:
        """The whole mail as it goes on the wire. Raises UnsendableAddressError, or ValueError for a bad attorney."""
        values = {
            "name": f"{shown_name(mail.first_name)} {shown_name(mail.last_name)}".strip(),
            "attorney_name": one_line(mail.attorney_name),
        }
        reply_to = Address(display_name=one_line(mail.attorney_name), addr_spec=mail.attorney_email)
        return self._render("welcome", mail, values, date, reply_to)

    def write_link(self, mail: LinkMail, date: datetime) -> bytes:
        """A link's mail but for its token, fit to be kept: `with_token` completes it. Raises UnsendableAddressError."""
        values = {
            "link": f"{self._prospect_page}#{_MARK}",
            "valid_until": f"{mail.expires_at.astimezone(UTC):%d %B %Y, %H:%M} UTC",
        }
        return self._render("prospect_link", mail, values, date, reply_to=None)

    def with_token(self, kept: bytes, link_id: UUID, expires_at: datetime) -> bytes:
        """A link's mail as it goes on the wire: the same bytes each time."""
        token = self._link_tokens.issue(link_id, expires_at)
        message = email.message_from_bytes(kept, policy=SMTP)
        for part in message.iter_parts():
            text = part.get_content().replace(_MARK, token)
            part.set_content(text, subtype=part.get_content_subtype(), cte="quoted-printable")
        return _as_sent(message)

    def _render(
        self,
        kind: str,
        mail: WelcomeMail | LinkMail,
        values: Mapping[str, str],
        date: datetime,
        reply_to: Address | None,
    ) -> bytes:
        def text(form: str) -> str:
            return self._templates.get_template(f"{kind}.{form}.j2").render(values, firm_name=self._firm_name)

        message = EmailMessage(policy=SMTP)
        message["From"] = self._from
        message["To"] = _address_of(mail.address)
        if reply_to is not None:
            message["Reply-To"] = reply_to
        message["Subject"] = one_line(text("subject"))
        message["Date"] = format_datetime(date)
        message["Message-ID"] = mail.message_id
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text("txt"), cte="quoted-printable")
        message.add_alternative(text("html"), subtype="html", cte="quoted-printable")
        return _as_sent(message)


def _as_sent(message: EmailMessage) -> bytes:
    is_ascii = str(message["To"]).isascii()
    return message.as_bytes(policy=SMTP.clone(max_line_length=_HEADER_LINE, utf8=not is_ascii))


def message_id(delivery_id: UUID, sequence: int, domain: str) -> str:
    """The Message-ID of every attempt of a delivery."""
    return f"<{delivery_id}.{sequence}@{domain}>"


def one_line(text: str) -> str:
    """The text without control, format and line-separating characters, blanks collapsed."""
    kept = (" " if unicodedata.category(c) in ("Cc", "Zl", "Zp", "Zs") else c for c in text)
    return " ".join("".join(c for c in kept if unicodedata.category(c) not in ("Cf", "Cs", "Co", "Cn")).split())


def shown_name(typed: str) -> str:
    """A name as a visitor typed it, fit to be shown: one line, capped, nothing that mail programs make a link of."""
    unlinked = _LINK_DOT.sub(". ", one_line(typed).replace("://", " ").replace("@", " "))
    return " ".join(unlinked[:NAME_LIMIT].split())


def _address_of(address: str) -> Address:
    try:
        parsed = Address(addr_spec=address)
    except (ValueError, IndexError) as error:
        raise UnsendableAddressError from error
    if not parsed.domain or parsed.addr_spec != address:
        raise UnsendableAddressError
    return parsed
