"""Erase a lead: everything of the person goes, everywhere; a tombstone and a receipt stay (docs/design.md, Erasure).

One transaction takes the lead's rows, its unsent events and its dead letters, leaves the tombstone, and says
LeadErased. The resume objects are named in the tombstone and deleted after the commit, by `finish_erasures`.
"""

import json
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import structlog
from service_chassis import outbox
from service_chassis.database import Sessions
from service_chassis.outbox import outbox as outbox_table
from shared_schemas.events import AttorneyChanged, LeadErased
from sqlalchemy import ColumnElement, CursorResult, Delete, Select, and_, delete, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, aliased

from intake_api import audit, repository
from intake_api.erasure_models import Erasure, LegalHold
from intake_api.exceptions import LeadNotFoundError, LegalHoldError, NotDueError
from intake_api.form_models import CaptureAttempt
from intake_api.link_models import ProspectLink
from intake_api.models import DeadLetter, IdempotencyKey, Lead, Submission
from intake_api.subject_data import rows_of_lead

log = structlog.get_logger(__name__)

HashRecipient = Callable[[str], str]
"""The keyed hash by which the capture log knows a lower-cased address: `Form.hash_recipient`."""

SERVICE = "intake-api"
REQUESTED, RETENTION = "requested", "retention"
FIRST_WAIT_S = 15 * 60


async def erase_lead(
    sessions: Sessions,
    lead_id: UUID,
    *,
    actor: str,
    hash_recipient: HashRecipient,
    reason: str = REQUESTED,
    only_if: ColumnElement[bool] | None = None,
) -> Erasure:
    """Erase a lead and return its receipt; an erased one's is the same as before.

    ``hash_recipient`` finds the attempts of the lead's addresses in the capture log. ``only_if`` must still hold
    once the lead is locked. Raises LeadNotFoundError, LegalHoldError, NotDueError.
    """
    async with sessions.begin() as session:
        family = await _lock_family(session, lead_id)
        if not family:
            return await find_erasure(session, lead_id)
        merged = [one.id for one in family if one.id != lead_id]
        if await session.scalar(select(exists().where(LegalHold.lead_id.in_([one.id for one in family])))):
            raise LegalHoldError
        if only_if is not None and not await session.scalar(select(exists().where(Lead.id == lead_id, only_if))):
            raise NotDueError
        # A chain of merges may stand in any order of ids; who points at whom does not matter any more.
        ids = [one.id for one in family]
        await session.execute(update(Lead).where(Lead.id.in_(ids)).values(merged_into=None))
        for one in reversed(family):
            erasure = await _erase(
                session, one, actor, reason, hash_recipient, part_of=None if one.id == lead_id else lead_id
            )
        detail = {"reason": reason, "merged": [str(one) for one in merged]}
        await audit.record_change(session, "erase_lead", lead_id, actor=actor, detail=detail, result=202)
    log.info("lead_erased", lead_id=str(lead_id), reason=reason)
    return erasure


async def find_erasure(session: AsyncSession, lead_id: UUID, *, lock: bool = False) -> Erasure:
    """The receipt of an erased lead. Raises LeadNotFoundError when it is not erased."""
    found = await session.get(Erasure, lead_id, with_for_update=lock or None, populate_existing=lock)
    if found is None:
        raise LeadNotFoundError(lead_id)
    return found


async def say_erased(session: AsyncSession, erasure: Erasure) -> None:
    """Say LeadErased."""
    event = LeadErased(lead_id=erasure.lead_id, epoch=erasure.epoch, decision_seen=erasure.decision)
    await outbox.add(session, event, correlation_id=erasure.trace_id)


async def _lock_family(session: AsyncSession, lead_id: UUID) -> Sequence[Lead]:
    """Lock a lead and those merged into it: addresses first, each in one order. The lead is first; empty: it is gone.

    Asked again with the locks in hand: a merge that came first has brought one more.
    """
    known: set[UUID] = set()
    while True:
        found = (await session.execute(_family(lead_id))).all()
        if {row.id for row in found} <= known:
            break
        known |= {row.id for row in found}
        for email_key in sorted({row.email_key for row in found}):
            await repository.lock_address(session, email_key)
    locked = [await repository.lock_lead(session, row.id) for row in sorted(found, key=lambda row: row.id.hex)]
    return sorted(locked, key=lambda one: one.id != lead_id)


def _family(lead_id: UUID) -> Select[tuple[UUID, str]]:
    """The lead, what was merged into it, what was merged into that ..."""
    family = select(Lead.id, Lead.email_key).where(Lead.id == lead_id).cte("family", recursive=True)
    merged = aliased(Lead)
    family = family.union(select(merged.id, merged.email_key).where(merged.merged_into == family.c.id))
    return select(family.c.id, family.c.email_key)


async def _erase(
    session: AsyncSession,
    lead: Lead,
    actor: str,
    reason: str,
    hash_recipient: HashRecipient,
    *,
    part_of: UUID | None,
) -> Erasure:
    lead_id = lead.id
    addresses = await _addresses(session, lead)
    keys = (await session.scalars(select(Submission.resume_key).where(Submission.lead_id == lead_id))).all()
    erasure = Erasure(
        lead_id=lead_id,
        part_of=part_of,
        epoch=lead.epoch + 1,
        decision=lead.decision,
        trace_id=lead.trace_id,
        reason=reason,
        requested_by=actor,
        object_keys=list(keys),
        objects_deleted=0,
        said_times=1,
        say_again_at=func.now() + func.make_interval(0, 0, 0, 0, 0, 0, FIRST_WAIT_S),
    )
    session.expunge(lead)
    counts = await _delete_rows(session, lead_id, addresses, hash_recipient)
    now: datetime = (await session.execute(select(func.now()))).scalar_one()
    erasure.answers = {SERVICE: {"at": now.isoformat(), "counts": counts}}
    session.add(erasure)
    await session.flush()
    await say_erased(session, erasure)
    return erasure


async def _addresses(session: AsyncSession, lead: Lead) -> Sequence[str]:
    typed = await session.scalars(select(Submission.email).where(Submission.lead_id == lead.id))
    return sorted({lead.email, lead.email_key, *typed})


async def _delete_rows(
    session: AsyncSession, lead_id: UUID, addresses: Sequence[str], hash_recipient: HashRecipient
) -> dict[str, int]:
    """Delete all that is the lead's; return the numbers of rows, by table."""
    submissions = select(Submission.id).where(Submission.lead_id == lead_id)
    hashes = {hash_recipient(address.strip().lower()) for address in addresses}
    statements: list[tuple[str, Delete]] = [
        ("capture_log", delete(CaptureAttempt).where(CaptureAttempt.recipient_hash.in_(hashes))),
        ("idempotency_keys", delete(IdempotencyKey).where(IdempotencyKey.submission_id.in_(submissions))),
        ("dead_letters", delete(DeadLetter).where(_of_lead(lead_id, addresses))),
        ("outbox", delete(outbox_table).where(_unsent_of_lead(lead_id, addresses))),
        ("link_wishes", delete(ProspectLink).where(ProspectLink.email_key.in_(addresses))),
        *((table.name, delete(table).where(condition)) for table, condition in rows_of_lead(lead_id)),
    ]
    counts = {}
    for name, statement in statements:
        result = await session.execute(statement, execution_options={"synchronize_session": False})
        counts[name] = cast(CursorResult[Any], result).rowcount
    return counts


def _of_lead(lead_id: UUID, addresses: Sequence[str]) -> ColumnElement[bool]:
    """Dead letters of the lead. What names another lead that is still there is that lead's, whatever it says."""
    of_nobody = or_(DeadLetter.lead_id.is_(None), ~exists().where(Lead.id == DeadLetter.lead_id))
    return or_(DeadLetter.lead_id == lead_id, and_(of_nobody, _says(DeadLetter.body, lead_id, addresses)))


def _unsent_of_lead(lead_id: UUID, addresses: Sequence[str]) -> ColumnElement[bool]:
    """Unsent events of the lead, and those of no lead that say its id or address; never an attorney's own."""
    row = outbox_table.c
    of_nobody = and_(row.lead_id.is_(None), row.type != AttorneyChanged.type)
    return or_(row.lead_id == lead_id, and_(of_nobody, _says(row.body, lead_id, addresses)))


_BEFORE = r"(^|[^a-z0-9._+%\\-]|\\\\[bfnrt]|\\\\u[0-9a-f]{4}|\\[0-7]{3})"
"""What may stand before a whole address in a body spelt out: its start, a mark, or an escape of JSON or of a byte."""
_AFTER = r"(?![a-z0-9_-]|\.[a-z0-9])"


def _says(
    body: ColumnElement[bytes] | InstrumentedAttribute[bytes], lead_id: UUID, addresses: Sequence[str]
) -> ColumnElement[bool]:
    """Whether a raw body holds the id or a whole address, as typed or as JSON writes it, whatever the case.

    `an@x.org` does not stand in `susan@x.org`, nor in `an@x.org.uk`: those are other people's.
    """
    text = func.lower(func.encode(body, "escape"))
    variants = sorted({variant for word in addresses for variant in (word, json.dumps(word)[1:-1])})
    return or_(
        func.strpos(text, str(lead_id)) > 0,
        *(text.op("~")(_BEFORE + re.escape(_spelt_out(variant).lower()) + _AFTER) for variant in variants),
    )


def _spelt_out(word: str) -> str:
    """A word as PostgreSQL's ``encode(..., 'escape')`` writes its UTF-8 bytes."""
    octets = word.replace("\\", "\\\\").encode()
    return "".join(chr(one) if 0 < one < 128 else f"\\{one:03o}" for one in octets)
