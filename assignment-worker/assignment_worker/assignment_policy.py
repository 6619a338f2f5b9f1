"""Who gets a lead: the least busy attorney who may take it.

Pure: no clock, no database, no message. The level of an attorney is the number of their open leads (all
attorneys weigh the same); the lowest level wins, then whoever was idle longest (never assigned first),
then the smaller id. A returning prospect keeps the attorney, at whatever level, as long as they may take
the lead. The same roster, instant and wish always give the same choice, whatever the order of the input.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeGuard
from uuid import UUID

from shared_schemas.events import Candidate, Explanation, WaitingReason

RULE = "least-busy/1"
TIE_BREAK = "longest idle, then id"
CANDIDATES_SHOWN = 20

_NEVER = datetime.min.replace(tzinfo=UTC)

Rank = tuple[int, datetime, UUID]


@dataclass(frozen=True)
class RosterEntry:
    """An attorney as the choice sees them. ``is_known`` is false while no AttorneyChanged told of them.

    ``absences`` are (start, end) instants, end exclusive; ``capacity`` None means no limit.
    """

    id: UUID
    is_known: bool
    available: bool
    capacity: int | None
    open_leads: int
    last_assigned_at: datetime | None = None
    absences: tuple[tuple[datetime, datetime], ...] = ()

    @property
    def rank(self) -> Rank:
        """The order of preference: the smallest is chosen."""
        return (self.open_leads, self.last_assigned_at or _NEVER, self.id)

    @property
    def is_full(self) -> bool:
        """Whether one more lead would exceed the capacity."""
        return self.capacity is not None and self.open_leads >= self.capacity

    def why_absent(self, at: datetime) -> str | None:
        """Why this attorney takes no new leads at that instant, full or not; None when they do."""
        if not self.is_known:
            return "unknown"
        if not self.available:
            return "unavailable"
        if any(start <= at < end for start, end in self.absences):
            return "absent"
        return None

    def why_excluded(self, at: datetime) -> str | None:
        """Why the policy would not choose this attorney at that instant; None when eligible."""
        return self.why_absent(at) or ("at_capacity" if self.is_full else None)


@dataclass(frozen=True)
class Wish:
    """What a lead asks of the choice: an attorney to keep, an attorney not to get."""

    keep_attorney_id: UUID | None = None
    not_attorney_id: UUID | None = None


@dataclass(frozen=True)
class Chosen:
    """Somebody gets the lead."""

    attorney_id: UUID
    explanation: Explanation


@dataclass(frozen=True)
class Nobody:
    """The lead waits, for this reason."""

    reason: WaitingReason
    explanation: Explanation


class Roster:
    """All attorneys at one instant, ranked. Choosing changes nothing; `assign` counts a lead in."""

    def __init__(self, entries: Iterable[RosterEntry], at: datetime) -> None:
        self._entries: dict[UUID, RosterEntry] = {}
        self._ranks: list[Rank] = []
        self._present: set[UUID] = set()
        self._excluded: Counter[str] = Counter()
        for entry in entries:
            self._entries[entry.id] = entry
            if entry.why_absent(at) is None:
                self._present.add(entry.id)
            reason = entry.why_excluded(at)
            if reason is None:
                self._ranks.append(entry.rank)
            else:
                self._excluded[reason] += 1
        self._ranks.sort()

    def waiting_reason(self, not_attorney_id: UUID | None) -> WaitingReason | None:
        """Why a lead that must not go to ``not_attorney_id`` would wait now; None when somebody may take it."""
        if any(rank[2] != not_attorney_id for rank in self._ranks[:2]):
            return None
        if not self._present:
            return "nobody_available"
        return "all_conflicted" if self._present == {not_attorney_id} else "all_at_capacity"

    @property
    def pivot(self) -> UUID | None:
        """The one attorney whose exclusion makes a difference to whether and why a lead waits, if any."""
        if len(self._ranks) == 1:
            return self._ranks[0][2]
        if not self._ranks and len(self._present) == 1:
            return next(iter(self._present))
        return None

    def choose(self, wish: Wish) -> Chosen | Nobody:
        """Choose for one lead, and say why."""
        reason = self.waiting_reason(wish.not_attorney_id)
        if reason is not None:
            return Nobody(reason, self._explain(wish))
        if wish.keep_attorney_id != wish.not_attorney_id and self._is_eligible(wish.keep_attorney_id):
            note = "a returning prospect keeps the attorney"
            return Chosen(wish.keep_attorney_id, self._explain(wish, note=note))
        best = next(rank[2] for rank in self._ranks if rank[2] != wish.not_attorney_id)
        return Chosen(best, self._explain(wish, tie_break=TIE_BREAK))

    def assign(self, attorney_id: UUID, at: datetime) -> None:
        """Count one more open lead for an eligible attorney, given at that instant."""
        entry = self._entries[attorney_id]
        del self._ranks[bisect_left(self._ranks, entry.rank)]
        entry = replace(entry, open_leads=entry.open_leads + 1, last_assigned_at=at)
        self._entries[attorney_id] = entry
        if entry.is_full:
            self._excluded["at_capacity"] += 1
        else:
            insort(self._ranks, entry.rank)

    def _is_eligible(self, attorney_id: UUID | None) -> TypeGuard[UUID]:
        entry = self._entries.get(attorney_id) if attorney_id else None
        if entry is None:
            return False
        position = bisect_left(self._ranks, entry.rank)
        return self._ranks[position : position + 1] == [entry.rank]

    def _explain(self, wish: Wish, *, tie_break: str | None = None, note: str | None = None) -> Explanation:
        conflicted = self._is_eligible(wish.not_attorney_id)
        shown = [rank[2] for rank in self._ranks[: CANDIDATES_SHOWN + 1] if rank[2] != wish.not_attorney_id]
        return Explanation(
            rule=RULE,
            chosen_by="policy",
            tie_break=tie_break,
            eligible=len(self._ranks) - conflicted,
            candidates=tuple(_candidate(self._entries[id_]) for id_ in shown[:CANDIDATES_SHOWN]),
            excluded={**self._excluded, **({"conflicted": 1} if conflicted else {})},
            note=note,
        )


def explain_person(entry: RosterEntry, at: datetime, *, is_restated: bool) -> Explanation:
    """The explanation of a person's choice, which is taken as it is.

    The note says what the policy would have held against it, or that intake-api states it again
    (``is_restated``) after our own record was lost.
    """
    against = entry.why_excluded(at)
    notes = [*(["restated by intake-api"] if is_restated else []), *([f"chosen though {against}"] if against else [])]
    return Explanation(rule=RULE, chosen_by="person", candidates=(_candidate(entry),), note="; ".join(notes) or None)


def _candidate(entry: RosterEntry) -> Candidate:
    return Candidate(
        attorney_id=entry.id,
        open_leads=entry.open_leads,
        capacity=entry.capacity,
        last_assigned_at=entry.last_assigned_at,
    )
