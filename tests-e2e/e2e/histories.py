"""I14: what a lead's timeline and the audit say must be the legal path to where the lead is.

The rows of a lead are walked in the order of their commits. Each row moves the lead, or says why it does not; no
move is left out, because the walk must end at the lead's own status and owner. Which moves are legal is written down
here once more, and not asked of the product.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

_WORKERS = frozenset({"assignment-worker", "mailer-worker"})
_STAFF_MOVES: Mapping[str, frozenset[str]] = {
    "quarantined": frozenset({"registered", "discarded"}),
    "registered": frozenset({"reached_out", "declined"}),
    "assigned": frozenset({"reached_out", "declined"}),
    "outreach_failed": frozenset({"reached_out", "declined"}),
    "reached_out": frozenset({"retained", "declined"}),
    "retained": frozenset({"registered", "assigned", "reached_out"}),
    "declined": frozenset({"registered", "assigned", "reached_out"}),
}
_OPEN = frozenset({"registered", "assigned", "reached_out", "outreach_failed"})
_CLOSED = frozenset({"retained", "declined"})
_CHANGES = frozenset({"change_lead", "change_leads", "withdraw_lead"})
WELCOME = "welcome"


@dataclass(frozen=True)
class TimelineRow:
    type: str
    actor: str
    detail: Mapping[str, Any]


@dataclass(frozen=True)
class AuditRow:
    action: str
    detail: Mapping[str, Any]

    @property
    def place(self) -> tuple[object, object]:
        """Status and epoch that the lead had after it."""
        return _part(self.detail.get("to"), "status"), _part(self.detail.get("to"), "epoch", self.detail.get("epoch"))

    @property
    def is_move(self) -> bool:
        return _part(self.detail.get("from"), "status") != _part(self.detail.get("to"), "status")


def _part(standing: object, name: str, otherwise: object = None) -> object:
    """A field of where a lead stood: a bulk change audits all of them, a change of one lead the status alone."""
    if isinstance(standing, Mapping):
        return standing.get(name)
    return standing if name == "status" else otherwise


@dataclass(frozen=True)
class History:
    """Rows of one lead, each kind in the order of their commits."""

    timeline: tuple[TimelineRow, ...] = ()
    audit: tuple[AuditRow, ...] = ()

    @property
    def says_reached(self) -> bool:
        """Whether the mailer has said that the welcome mail was sent."""
        return any(row.type == "lead.reached-out" and row.detail.get("kind") == WELCOME for row in self.timeline)

    def contradictions(self, status: str, owner: str | None) -> Iterable[str]:
        """Say what is wrong with it, for a lead that is ``status`` and has this owner."""
        walk = _Walk()
        for row in self.timeline:
            yield from walk.step(row)
        if walk.status != status:
            yield f"is {status}, and its timeline leads to {walk.status}"
        if walk.owner != owner:
            yield f"is owned by {owner}, and by its timeline by {walk.owner}"
        yield from _unaudited(walk.changes, self.audit)


@dataclass(frozen=True)
class _Change:
    """A person's change: where the lead was after it."""

    type: str
    status: str | None
    epoch: object


class _Walk:
    def __init__(self) -> None:
        self.status: str | None = None
        self.owner: str | None = None
        self.changes: list[_Change] = []
        self._place = (-1, -1)
        self._left_quarantine = False
        self._was_reached = False

    def step(self, row: TimelineRow) -> Iterable[str]:
        if self.status is None and row.type not in {"lead.registered", "lead.quarantined"}:
            yield f"begins with {row.type}"
        if row.type == "lead.registered":
            yield from self._begin(row, "registered", {None, "quarantined"})
        elif row.type == "lead.quarantined":
            yield from self._begin(row, "quarantined", {None})
        elif row.type in {"lead.assigned", "lead.waiting"}:
            yield from self._decide(row)
        elif row.type == "lead.reached-out":
            yield from self._reach(row)
        elif row.type == "outreach.failed" and row.detail.get("kind") == WELCOME:
            if self.status in {"registered", "assigned"}:
                self.status = "outreach_failed"
        elif row.type == "lead.reassigned":
            yield from self._reassign(row)
        elif row.type == "lead.merged-into":
            self._left_quarantine, self.status = self.status == "quarantined", "discarded"
            self.changes.append(_Change(row.type, "discarded", None))
        elif row.type == "lead.status-changed":
            yield from self._move(row)

    def _begin(self, row: TimelineRow, status: str, after: set[str | None]) -> Iterable[str]:
        if self.status not in after:
            yield f"{row.type} when it was {self.status}"
        self._left_quarantine, self.status = self.status == "quarantined", status

    def _decide(self, row: TimelineRow) -> Iterable[str]:
        if not row.detail.get("applied"):
            return
        place = (int(row.detail["epoch"]), int(row.detail["decision"]))
        if place <= self._place:
            yield f"{row.type} {place} was applied after {self._place}"
        self._place = place
        if row.type == "lead.assigned":
            self.owner = str(row.detail["attorney_id"])
            self.status = "assigned" if self.status == "registered" else self.status
        else:
            self.owner = None
            self.status = "registered" if self.status == "assigned" else self.status

    def _reach(self, row: TimelineRow) -> Iterable[str]:
        if row.detail.get("kind") != WELCOME:
            return
        if self._was_reached:
            yield "says twice that it was reached"
        self._was_reached = True
        if self.status in {"registered", "assigned", "outreach_failed"}:
            self.status = "reached_out"

    def _reassign(self, row: TimelineRow) -> Iterable[str]:
        if self.status not in _OPEN:
            yield f"{row.type} when it was {self.status}"
        if row.detail.get("from") != self.owner:
            yield f"{row.type} from {row.detail.get('from')} when {self.owner} had it"
        self.owner = row.detail.get("to")
        if self.owner is not None and self.status == "registered":
            self.status = "assigned"
        elif self.owner is None and self.status == "assigned":
            self.status = "registered"
        self.changes.append(_Change(row.type, self.status, row.detail.get("epoch")))

    def _move(self, row: TimelineRow) -> Iterable[str]:
        before, after = row.detail.get("from"), str(row.detail.get("to"))
        if self._left_quarantine and before == "quarantined" and after == self.status:
            self._left_quarantine = False  # the row before it said the same, and who made it
        elif before != self.status:
            yield f"a move from {before} to {after} when it was {self.status}"
        elif after not in _STAFF_MOVES.get(before or "", frozenset()):
            yield f"an illegal move from {before} to {after}"
        if row.actor in _WORKERS:
            yield f"a person's move from {before} to {after}, made by {row.actor}"
        if before in _CLOSED and after in {"registered", "assigned"}:
            self._was_reached = False  # said again, it moves the lead again
        self.status = after
        if self.owner is None and row.detail.get("reached_out_by"):
            self.owner = str(row.detail["reached_out_by"])
        self.changes.append(_Change(row.type, after, row.detail.get("epoch")))


def _unaudited(changes: Iterable[_Change], audit: Iterable[AuditRow]) -> Iterable[str]:
    """One audit row for each request that changed the lead: one may have changed its owner and then its status."""
    left = list(audit)
    for change, following in pairwise([*changes, None]):
        assert change
        found = next((row for row in left if _is_of(row, change)), None)
        if found is not None:
            left.remove(found)
        elif following is None or following.type != "lead.status-changed" or change.type == following.type:
            yield f"{change.type} to {change.status} has no audit row"
    yield from (
        f"the audit has a move to {row.place[0]} that its timeline does not have"
        for row in left
        if row.action in _CHANGES and row.is_move
    )


def _is_of(row: AuditRow, change: _Change) -> bool:
    if change.type == "lead.merged-into":
        return row.action == "merge_leads"
    return row.action in _CHANGES and row.place == (change.status, change.epoch)
