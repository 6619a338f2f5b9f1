"""The welcome mail: text and HTML from the templates, one set of bytes for every attempt.

The name is the only thing in it that a visitor typed: capped, on one line, escaped in HTML, and not clickable
(docs/design.md, invariant 8; RFC 3834 for ``Auto-Submitted``, RFC 5322 s. 3.6.4 for the Message-ID).
"""

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from uuid import UUID

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

NAME_LIMIT = 60
_HEADER_LINE = 250
"""Headers are folded late: a folded or encoded Message-ID would no longer be the same to every reader."""

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


class UnsendableAddressError(ValueError):
    """The stored address is none that a mail can be addressed to."""


class MailWriter:
    """Renders mails from the package's own templates; a name missing there is an error, never a blank."""

    def __init__(self, from_name: str, from_address: str, firm_name: str) -> None:
        self._from = Address(display_name=from_name, addr_spec=from_address)
        self._firm_name = firm_name
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
            "firm_name": self._firm_name,
        }
        message = EmailMessage(policy=SMTP)
        message["From"] = self._from
        message["To"] = _address_of(mail.address)
        message["Reply-To"] = Address(display_name=one_line(mail.attorney_name), addr_spec=mail.attorney_email)
        message["Subject"] = one_line(self._templates.get_template("welcome.subject.j2").render(values))
        message["Date"] = format_datetime(date)
        message["Message-ID"] = mail.message_id
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(self._templates.get_template("welcome.txt.j2").render(values), cte="quoted-printable")
        message.add_alternative(
            self._templates.get_template("welcome.html.j2").render(values), subtype="html", cte="quoted-printable"
        )
        return message.as_bytes(policy=SMTP.clone(max_line_length=_HEADER_LINE, utf8=not mail.address.isascii()))


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
