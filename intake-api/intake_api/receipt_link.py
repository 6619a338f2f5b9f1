"""A submission's private link: signed, so that it needs no row, and numbered, so that it can be revoked."""

import base64
from dataclasses import dataclass
from uuid import UUID

from intake_api.exceptions import ReceiptNotFoundError
from intake_api.receipt_models import FIRST_SERIAL
from intake_api.signer import Signer, UnsignedError

PURPOSE = "receipt"
PREFIX = "/api/v1/receipts"
_REFERENCE_BYTES = 5


@dataclass(frozen=True)
class ReceiptLink:
    """Which submission a link is for, and which of its links it is."""

    submission_id: UUID
    serial: int = FIRST_SERIAL

    def url(self, signer: Signer) -> str:
        """The link, relative to the API's origin. Whoever has it may use it."""
        return f"{PREFIX}/{signer.sign(PURPOSE, [self.submission_id.hex, self.serial])}"

    @classmethod
    def read(cls, signer: Signer, token: str) -> "ReceiptLink":
        """The link that a token is. Raises ReceiptNotFoundError."""
        try:
            submission_id, serial = signer.read(PURPOSE, token)
        except UnsignedError as error:
            raise ReceiptNotFoundError from error
        return cls(UUID(submission_id), int(serial))


def reference_of(submission_id: UUID) -> str:
    """What a prospect says on the telephone: eight letters and digits that tell the submission, and open nothing."""
    text = base64.b32encode(submission_id.bytes[:_REFERENCE_BYTES]).decode()
    return f"{text[:4]}-{text[4:]}"
