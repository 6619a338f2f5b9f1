"""The port through which mail leaves, and the five ways an attempt can end.

Anything else than these classes is a programming error: the sender asks no adapter for details.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

BeforeData = Callable[[], Awaitable[bool]]
"""Asked right before DATA, the last moment at which the mail can still be stopped."""


ADDRESS_CODES = frozenset({550, 551, 553})
"""Replies to RCPT about the mailbox itself: unavailable, not local, not a possible name (RFC 5321 s. 4.2.3)."""

RELAYING_DENIED = "relaying_denied"
"""The stage of a `RelayAway` that came as an answer to RCPT or DATA."""


@dataclass(frozen=True)
class OutgoingMail:
    """One mail to one recipient. ``recipient`` is the envelope address, to the letter."""

    sender: str = field(repr=False)
    recipient: str = field(repr=False)
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Sent:
    """The relay took responsibility for the mail (RFC 5321 s. 4.2.5)."""

    code: int = 250


@dataclass(frozen=True)
class DefinitelyNotSent:
    """The relay has not taken the mail: refused for good, or for now.

    ``code`` is its reply, if it gave one, and ``stage`` the step that it answered (mail, rcpt or data).
    """

    permanent: bool
    code: int | None
    reason: str
    stage: str | None = None

    @property
    def is_about_address(self) -> bool:
        """Whether the relay said that nobody can be reached at this address, rather than that it dislikes this mail."""
        return self.permanent and self.stage == "rcpt" and self.code in ADDRESS_CODES


@dataclass(frozen=True)
class RelayAway:
    """No mail at all can be handed over now: nothing to do with this one. ``stage`` says how far it came."""

    stage: str
    code: int | None = None


@dataclass(frozen=True)
class Ambiguous:
    """The connection or the attempt died inside DATA: the relay may have the mail."""

    reason: str


@dataclass(frozen=True)
class Stopped:
    """The mail was stopped before DATA."""


Outcome = Sent | DefinitelyNotSent | RelayAway | Ambiguous | Stopped


class MailSender(Protocol):
    """Hands mails to a relay, one at a time per call, safe to call concurrently."""

    async def send(self, mail: OutgoingMail, before_data: BeforeData) -> Outcome:
        """Try once, within the adapter's deadline. Raises only what ``before_data`` raises."""
        ...

    async def probe(self) -> bool:
        """Whether the relay would talk to us now; sends nothing."""
        ...

    async def close(self) -> None:
        """Let go of what is still being closed."""
        ...
