"""Keyset cursors: where a page of leads ended, signed, and good for the same filters and order only."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from intake_api.exceptions import FieldError, InvalidFieldsError
from intake_api.signer import Signer, UnsignedError

PURPOSE = "leads-cursor"


@dataclass(frozen=True)
class Cursor:
    """The last row of a page: what it was sorted by, and its id as tie-break."""

    value: datetime | str
    lead_id: UUID

    def sign(self, signer: Signer, question: str) -> str:
        """The cursor as clients get it; ``question`` is everything that must stay the same."""
        is_time = isinstance(self.value, datetime)
        value = self.value.isoformat() if isinstance(self.value, datetime) else self.value
        return signer.sign(PURPOSE, [_digest(question), is_time, value, str(self.lead_id)])

    @classmethod
    def read(cls, signer: Signer, question: str, text: str) -> "Cursor":
        """The cursor that a client sent back. Raises InvalidFieldsError."""
        try:
            digest, is_time, value, lead_id = signer.read(PURPOSE, text)
        except UnsignedError as error:
            raise _invalid("is none that we gave: start again without it") from error
        if digest != _digest(question):
            raise _invalid("belongs to other filters or another order: start again without it")
        return cls(datetime.fromisoformat(value) if is_time else value, UUID(lead_id))


def _digest(question: str) -> str:
    return hashlib.sha256(question.encode()).hexdigest()[:16]


def _invalid(detail: str) -> InvalidFieldsError:
    return InvalidFieldsError([FieldError("cursor", detail)])
