"""I14 itself: the legal lives of a lead are accepted, and each planted gap, double and illegal move is named."""

from typing import Any

import pytest
from e2e.histories import AuditRow, History, TimelineRow

ADA, BEN = "ada", "ben"


def told(type_: str, actor: str = "account:1", **detail: Any) -> TimelineRow:
    return TimelineRow(type_, actor, detail)


def assigned(to: str = ADA, epoch: int = 0, decision: int = 1, *, applied: bool = True) -> TimelineRow:
    detail = {"attorney_id": to, "epoch": epoch, "decision": decision, "applied": applied}
    return told("lead.assigned", "assignment-worker", **detail)


def waiting(epoch: int = 0, decision: int = 1, *, applied: bool = True) -> TimelineRow:
    return told("lead.waiting", "assignment-worker", epoch=epoch, decision=decision, applied=applied)


def moved(before: str, after: str, epoch: int = 0, **more: Any) -> TimelineRow:
    return TimelineRow("lead.status-changed", "account:1", {"from": before, "to": after, "epoch": epoch, **more})


def reassigned(before: str | None, after: str | None, epoch: int) -> TimelineRow:
    return TimelineRow("lead.reassigned", "account:1", {"from": before, "to": after, "epoch": epoch})


def audited(before: str, after: str, epoch: int, action: str = "change_lead") -> AuditRow:
    return AuditRow(action, {"from": before, "to": after, "epoch": epoch})


def audited_in_bulk(before: tuple[str, int, str], after: tuple[str, int, str]) -> AuditRow:
    names = ("status", "epoch", "assigned_to")
    return AuditRow(
        "change_leads", {"from": dict(zip(names, before, strict=True)), "to": dict(zip(names, after, strict=True))}
    )


REGISTERED = told("lead.registered", "prospect")
QUARANTINED = told("lead.quarantined", "prospect")
REACHED = told("lead.reached-out", "mailer-worker", kind="welcome")
FAILED = told("outreach.failed", "mailer-worker", kind="welcome")

LEGAL = {
    "reached": ("reached_out", ADA, [REGISTERED, assigned(), REACHED], []),
    "waited first": ("reached_out", ADA, [REGISTERED, waiting(), assigned(decision=2), REACHED], []),
    "a late waiting changes nothing": (
        "reached_out",
        ADA,
        [REGISTERED, assigned(decision=2), waiting(decision=1, applied=False), REACHED],
        [],
    ),
    "reached before the assignment was heard of": ("reached_out", ADA, [REGISTERED, REACHED, assigned()], []),
    "outreach failed, then a person": (
        "reached_out",
        ADA,
        [REGISTERED, assigned(), FAILED, moved("outreach_failed", "reached_out", reached_out_by=BEN)],
        [audited("outreach_failed", "reached_out", 0)],
    ),
    "reassigned and declined, one request each": (
        "declined",
        BEN,
        [REGISTERED, assigned(), reassigned(ADA, BEN, 1), moved("assigned", "declined", 2)],
        [audited("assigned", "assigned", 1), audited("assigned", "declined", 2)],
    ),
    "reassigned and declined in one request": (
        "declined",
        BEN,
        [REGISTERED, assigned(), reassigned(ADA, BEN, 1), moved("assigned", "declined", 2)],
        [audited("assigned", "declined", 2)],
    ),
    "reached by a person, who becomes the owner": (
        "reached_out",
        BEN,
        [REGISTERED, waiting(), moved("registered", "reached_out", 1, reached_out_by=BEN)],
        [audited("registered", "reached_out", 1)],
    ),
    "given back for a new choice": (
        "registered",
        None,
        [REGISTERED, assigned(), reassigned(ADA, None, 1)],
        [audited("assigned", "registered", 1)],
    ),
    "closed and reopened": (
        "reached_out",
        ADA,
        [REGISTERED, assigned(), REACHED, moved("reached_out", "declined", 1), moved("declined", "reached_out", 2)],
        [audited("reached_out", "declined", 1), audited("declined", "reached_out", 2)],
    ),
    "reached while it was closed, which counts when it is reopened": (
        "reached_out",
        ADA,
        [
            *(REGISTERED, assigned(), moved("assigned", "declined", 1), REACHED),
            *(moved("declined", "assigned", 2), assigned(epoch=2, decision=2), REACHED),
        ],
        [audited("assigned", "declined", 1), audited("declined", "assigned", 2)],
    ),
    "reopened without owner, and so reached once more": (
        "reached_out",
        BEN,
        [
            *(REGISTERED, assigned(), REACHED, reassigned(ADA, None, 1), moved("reached_out", "declined", 2)),
            *(moved("declined", "registered", 3), assigned(BEN, epoch=3, decision=2), REACHED),
        ],
        [
            audited("reached_out", "reached_out", 1),
            audited("reached_out", "declined", 2),
            audited("declined", "registered", 3),
        ],
    ),
    "quarantined and released": (
        "registered",
        None,
        [QUARANTINED, told("lead.registered"), moved("quarantined", "registered")],
        [audited("quarantined", "registered", 0)],
    ),
    "quarantined, released and merged": (
        "discarded",
        None,
        [QUARANTINED, told("lead.merged-into"), moved("quarantined", "discarded")],
        [audited("quarantined", "discarded", 0)],
    ),
    "merged": (
        "discarded",
        ADA,
        [REGISTERED, assigned(), told("lead.merged-into")],
        [AuditRow("merge_leads", {"merged_into": "other", "epoch": 1})],
    ),
    "declined, and another's, with many others": (
        "declined",
        BEN,
        [REGISTERED, assigned(), reassigned(ADA, BEN, 1), moved("assigned", "declined", 2)],
        [
            audited_in_bulk(("assigned", 0, ADA), ("assigned", 1, BEN)),
            audited_in_bulk(("assigned", 1, BEN), ("declined", 2, BEN)),
        ],
    ),
    "looked at, and sent a PATCH that changes nothing": (
        "assigned",
        ADA,
        [REGISTERED, assigned()],
        [audited("assigned", "assigned", 0), AuditRow("read_resume", {})],
    ),
}


@pytest.mark.parametrize("life", LEGAL)
def test_a_legal_life_is_accepted(life: str) -> None:
    status, owner, timeline, audit = LEGAL[life]
    assert list(History(tuple(timeline), tuple(audit)).contradictions(status, owner)) == []


ILLEGAL: dict[str, tuple[str, str | None, list[TimelineRow], list[AuditRow], str]] = {
    "no row at all": ("registered", None, [], [], "is registered, and its timeline leads to None"),
    "a status without its row": (
        "reached_out",
        ADA,
        [REGISTERED, assigned()],
        [],
        "is reached_out, and its timeline leads to assigned",
    ),
    "an owner without a row": ("assigned", BEN, [REGISTERED, assigned()], [], "is owned by ben"),
    "two first rows": ("registered", None, [REGISTERED, REGISTERED], [], "lead.registered when it was registered"),
    "another row before the first": ("reached_out", None, [REACHED, REGISTERED], [], "begins with lead.reached-out"),
    "reached once more while it was closed": (
        "declined",
        ADA,
        [REGISTERED, assigned(), REACHED, moved("reached_out", "declined", 1), REACHED],
        [audited("reached_out", "declined", 1)],
        "says twice",
    ),
    "reached twice": ("reached_out", ADA, [REGISTERED, assigned(), REACHED, REACHED], [], "says twice"),
    "an older decision applied": (
        "assigned",
        ADA,
        [REGISTERED, assigned(BEN, decision=2), assigned(ADA, decision=1)],
        [],
        "(0, 1) was applied after (0, 2)",
    ),
    "an illegal move": (
        "retained",
        ADA,
        [REGISTERED, assigned(), moved("assigned", "retained", 1)],
        [audited("assigned", "retained", 1)],
        "an illegal move from assigned to retained",
    ),
    "a move out of a status it did not have": (
        "declined",
        ADA,
        [REGISTERED, assigned(), moved("reached_out", "declined", 1)],
        [audited("reached_out", "declined", 1)],
        "a move from reached_out to declined when it was assigned",
    ),
    "a reassignment of a closed lead": (
        "declined",
        BEN,
        [REGISTERED, assigned(), moved("assigned", "declined", 1), reassigned(ADA, BEN, 2)],
        [audited("assigned", "declined", 1), audited("declined", "declined", 2)],
        "lead.reassigned when it was declined",
    ),
    "a reassignment from somebody else": (
        "assigned",
        BEN,
        [REGISTERED, assigned(ADA), reassigned("eve", BEN, 1)],
        [audited("assigned", "assigned", 1)],
        "from eve when ada had it",
    ),
    "a move that was not audited": (
        "declined",
        ADA,
        [REGISTERED, assigned(), moved("assigned", "declined", 1)],
        [],
        "lead.status-changed to declined has no audit row",
    ),
    "a reassignment that was not audited": (
        "assigned",
        BEN,
        [REGISTERED, assigned(), reassigned(ADA, BEN, 1)],
        [],
        "lead.reassigned to assigned has no audit row",
    ),
    "a merge that was not audited": (
        "discarded",
        None,
        [REGISTERED, told("lead.merged-into")],
        [],
        "lead.merged-into to discarded has no audit row",
    ),
    "an audited move that the timeline does not have": (
        "assigned",
        ADA,
        [REGISTERED, assigned()],
        [audited("assigned", "declined", 1)],
        "the audit has a move to declined",
    ),
    "a move in bulk that the timeline does not have": (
        "assigned",
        ADA,
        [REGISTERED, assigned()],
        [audited_in_bulk(("assigned", 0, ADA), ("declined", 1, ADA))],
        "the audit has a move to declined",
    ),
    "a person's move by a worker": (
        "declined",
        ADA,
        [
            REGISTERED,
            assigned(),
            TimelineRow("lead.status-changed", "mailer-worker", moved("assigned", "declined", 1).detail),
        ],
        [audited("assigned", "declined", 1)],
        "made by mailer-worker",
    ),
}


@pytest.mark.parametrize("life", ILLEGAL)
def test_a_planted_contradiction_is_named(life: str) -> None:
    status, owner, timeline, audit, words = ILLEGAL[life]
    found = list(History(tuple(timeline), tuple(audit)).contradictions(status, owner))
    assert any(words in one for one in found), found
