"""Check the audit's chain: every row hashed as it stands, every hash named by the next row, no number missing."""

from dataclasses import dataclass

from service_chassis.database import Sessions
from sqlalchemy import select

from intake_api.audit import BEGINNING, hash_of
from intake_api.audit_models import AuditEntry

BATCH = 1000


@dataclass(frozen=True)
class Verified:
    """How many rows hold, and the first one that does not, with what is wrong with it.

    ``last_hash`` (hex) is the chain's end: rows cut off there leave a chain that holds, so keep this elsewhere and
    compare.
    """

    rows: int
    last_hash: str
    broken_seq: int | None = None
    problem: str | None = None


async def verify_audit(sessions: Sessions) -> Verified:
    """Read the whole audit and check it, up to the first broken row."""
    rows, previous_hash = 0, BEGINNING
    while True:
        async with sessions() as session:
            found = await session.scalars(
                select(AuditEntry).where(AuditEntry.seq > rows).order_by(AuditEntry.seq).limit(BATCH)
            )
            batch = found.all()
        if not batch:
            return Verified(rows, previous_hash.hex())
        for entry in batch:
            problem = _problem(entry, rows + 1, previous_hash)
            if problem is not None:
                return Verified(rows, previous_hash.hex(), entry.seq, problem)
            rows, previous_hash = rows + 1, entry.hash


def _problem(entry: AuditEntry, expected_seq: int, previous_hash: bytes) -> str | None:
    if entry.seq != expected_seq:
        return f"row {expected_seq} is missing before it"
    if entry.previous_hash != previous_hash:
        return "it does not follow the row before it"
    if entry.hash != hash_of(entry):
        return "it was changed after it was written"
    return None
