"""The resume store and the mail relay in memory, each as mortal as the process that calls it."""

import re
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import BinaryIO, Literal

from intake_api.exceptions import ResumeMissingError
from intake_api.resume_store import StoredObject
from mailer_worker.mail_sender import (
    Ambiguous,
    BeforeData,
    DefinitelyNotSent,
    Outcome,
    OutgoingMail,
    RelayAway,
    Sent,
    Stopped,
)

from lead_model.faults import Mortality

Answer = Literal["taken", "taken, unanswered", "lost in data", "refused", "later", "away"]
"""What the relay does with a mail; in the second and third the sender cannot tell which it was."""

_MESSAGE_ID = re.compile(rb"^Message-ID: <([^>]+)>\r?$", re.MULTILINE | re.IGNORECASE)


class MemoryStore:
    """Resumes by key."""

    def __init__(self, mortality: Mortality) -> None:
        self._mortality = mortality
        self.objects: dict[str, bytes] = {}

    async def put(self, key: str, content: BinaryIO, size: int, content_type: str) -> None:
        self._mortality.call()
        content.seek(0)
        self.objects[key] = content.read()
        self._mortality.call()

    async def open(self, key: str) -> AsyncIterator[bytes]:
        if key not in self.objects:
            raise ResumeMissingError
        return self._whole(self.objects[key])

    async def _whole(self, content: bytes) -> AsyncIterator[bytes]:
        yield content

    async def list(self, prefix: str) -> Sequence[StoredObject]:
        long_ago = datetime(2000, 1, 1, tzinfo=UTC)
        return [StoredObject(key, long_ago) for key in self.objects if key.startswith(prefix)]

    async def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    async def check(self) -> None:
        return

    def close(self) -> None:
        return


class MemoryRelay:
    """The mail relay: ``sink`` has every mail it took, by Message-ID. ``answer`` is what the next one gets."""

    def __init__(self, mortality: Mortality) -> None:
        self._mortality = mortality
        self.answer: Answer = "taken"
        self.sink: defaultdict[str, list[bytes]] = defaultdict(list)

    async def send(self, mail: OutgoingMail, before_data: BeforeData) -> Outcome:
        self._mortality.call()
        if self.answer == "away":
            return RelayAway("connect")
        if self.answer in ("refused", "later"):
            final = self.answer == "refused"
            return DefinitelyNotSent(permanent=final, code=550 if final else 450, reason="refused", stage="rcpt")
        if not await before_data():
            return Stopped()
        self._mortality.call()
        if self.answer == "lost in data":
            return Ambiguous("disconnected")
        found = _MESSAGE_ID.search(mail.content)
        assert found is not None, "a mail without Message-ID"
        self.sink[f"<{found[1].decode()}>"].append(mail.content)
        self._mortality.call()
        return Sent() if self.answer == "taken" else Ambiguous("timeout")

    async def probe(self) -> bool:
        return True

    async def close(self) -> None:
        return
