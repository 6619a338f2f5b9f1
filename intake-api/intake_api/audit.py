"""Writing the audit: one row per act, chained by hash, in the caller's transaction.

The application's role may insert and read, nothing else (a migration takes the rest away). Every row takes one
lock until its transaction ends, so that the chain has no gaps: record last, and commit.
"""

import hashlib
import ipaddress
import json
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from intake_api.audit_models import AuditEntry

BEGINNING = b""
"""What the first row names as the hash before it."""

NOBODY = "unknown"
_IPV4_PREFIX, _IPV6_PREFIX = 24, 48
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('audit', 0))")


@dataclass
class Act:
    """What one request does: filled in as it becomes known. ``is_recorded``: a use case wrote its row."""

    action: str = NOBODY
    origin: str = NOBODY
    actor: str = NOBODY
    is_recorded: bool = False


_act: ContextVar[Act | None] = ContextVar("act", default=None)


def begin(act: Act) -> None:
    """Make ``act`` the present request's."""
    _act.set(act)


def identify(actor: str) -> None:
    """Say who makes the present request; outside of a request nothing happens."""
    act = _act.get()
    if act is not None:
        act.actor = actor


async def record_change(
    session: AsyncSession,
    action: str,
    lead_id: UUID,
    *,
    actor: str,
    detail: dict[str, Any],
    result: int = 200,
    is_whole_request: bool = True,
) -> None:
    """Record a change of a lead in the transaction that makes it. Call it last: it takes the audit's lock.

    A request of several changes (not ``is_whole_request``) gets a row of its own beside theirs.
    """
    request = _act.get()
    act = Act(action=action, actor=actor, origin=request.origin if request else NOBODY)
    await record(session, act, lead_id=lead_id, result=result, detail=detail)
    if request is not None and is_whole_request:
        request.is_recorded = True


async def record(
    session: AsyncSession, act: Act, *, lead_id: UUID | None, result: int, detail: dict[str, Any]
) -> AuditEntry:
    """Add a row. ``result`` is an HTTP status. Takes the audit's lock until the transaction ends."""
    await session.execute(_LOCK)
    now: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    last = await session.scalar(select(AuditEntry).order_by(AuditEntry.seq.desc()).limit(1))
    entry = AuditEntry(
        seq=last.seq + 1 if last else 1,
        at=now,
        actor=act.actor,
        action=act.action,
        lead_id=lead_id,
        origin=act.origin,
        result=result,
        detail=detail,
        previous_hash=last.hash if last else BEGINNING,
    )
    entry.hash = hash_of(entry)
    session.add(entry)
    await session.flush()
    return entry


def hash_of(entry: AuditEntry) -> bytes:
    """SHA-256 over the row and the hash before it, in one canonical form."""
    content = [
        entry.seq,
        entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        entry.actor,
        entry.action,
        str(entry.lead_id) if entry.lead_id else None,
        entry.origin,
        entry.result,
        entry.detail,
    ]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(entry.previous_hash + canonical.encode()).digest()


def network_of(address: str | None) -> str:
    """The network an address is in (/24, /48): enough to see a pattern, too little to name a person."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return NOBODY
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    prefix = _IPV4_PREFIX if found.version == 4 else _IPV6_PREFIX
    return str(ipaddress.ip_network((found, prefix), strict=False))
