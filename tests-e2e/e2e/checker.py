"""Was anything lost, doubled, forgotten or told wrongly? The identities I1-I15: see `judge`.

`judge` is pure: a client log and evidence in, findings out. `Scenario` brackets a test: it notes the time before,
waits until all is quiet after, gathers the evidence, prints the table and fails on any finding.
"""

import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import inf
from types import MappingProxyType

from e2e import evidence, mail_identities
from e2e.client_log import ClientLog
from e2e.clients import Crowd
from e2e.eventually import eventually
from e2e.histories import History
from e2e.rows import OPEN, Evidence
from e2e.stack import Stack

QUIET_WITHIN = 60.0
_SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """One identity and what speaks against it; ``listed`` ones are allowed, and only shown."""

    name: str
    against: tuple[str, ...] = ()
    listed: bool = False

    @property
    def verdict(self) -> str:
        if not self.against:
            return "ok"
        return "listed" if self.listed else "FAIL"


@dataclass(frozen=True)
class Report:
    """All findings of one scenario and its figures."""

    findings: tuple[Finding, ...]
    figures: Mapping[str, object]

    @property
    def failed(self) -> list[str]:
        return [one.name for one in self.findings if one.verdict == "FAIL"]

    def of(self, name: str) -> Finding:
        """The finding with this name."""
        return next(one for one in self.findings if one.name == name)

    def table(self) -> str:
        """The report for people."""
        lines = ["  " + ", ".join(f"{name} {value}" for name, value in self.figures.items())]
        shown = [one for one in self.findings if one.against]
        lines.append(
            f"  {len(self.findings) - len(shown)} of {len(self.findings)} identities have nothing against them"
        )
        for one in shown:
            lines.append(f"  {one.name:22} {len(one.against):5}  {one.verdict}")
            lines += [f"      {words}" for words in one.against[:_SHOWN]]
            if len(one.against) > _SHOWN:
                lines.append(f"      ... and {len(one.against) - _SHOWN} more")
        return "\n".join(lines)


def figures_of(log: ClientLog, until: float = inf) -> dict[str, object]:
    """How the API answered what was sent before ``until`` (monotonic clock)."""
    p99 = log.p99(until)
    return {"p99_post_s": None if p99 is None else round(p99, 2), "5xx": log.server_errors(until)}


def hash_of(key: str) -> str:
    """How an Idempotency-Key is stored: never itself."""
    return hashlib.sha256(key.encode()).hexdigest()


def judge(
    log: ClientLog,
    seen: Evidence,
    *,
    final: Iterable[str] = ("reached_out",),
    measured: Mapping[str, object] = MappingProxyType({}),
) -> Report:
    """Hold the evidence against what the clients were told; accepted leads must end in one of ``final``.

    ``measured``: further figures of the scenario, for the table.
    """
    findings = (
        Finding("I1 lost", tuple(_lost(log, seen))),
        Finding("I2 unexpected", tuple(_unexpected(log, seen))),
        Finding("I3 duplicated", tuple(_duplicated(log, seen))),
        Finding("I4 recovered", tuple(_recovered(log, seen)), listed=True),
        Finding("I5 stuck", tuple(_stuck(seen))),
        Finding("   shown otherwise", tuple(_shown_otherwise(seen))),
        Finding("   unfinished", tuple(_unfinished(seen, frozenset(final)))),
        Finding("I6 ghost sent", tuple(mail_identities.ghosts(seen))),
        Finding("I7 mailed twice", tuple(mail_identities.mailed_twice(seen))),
        Finding("   unexplained mail", tuple(mail_identities.unexplained_mails(seen))),
        Finding("I8 ambiguous copies", tuple(mail_identities.ambiguous_copies(seen)), listed=True),
        Finding("   copies that differ", tuple(mail_identities.copies_that_differ(seen))),
        Finding("I9 assignment", tuple(_assignment(seen))),
        Finding("I10 dangling", tuple(_dangling(seen))),
        Finding("I11 orphans", tuple(f"{key} is of no submission" for key in seen.orphans)),
        Finding("I12 not drained", tuple(f"{name}: {count}" for name, count in seen.undrained.items())),
        Finding("I13 dead letters", tuple(seen.dead_letters)),
        Finding("I14 history", tuple(_histories(seen))),
        Finding("I15 leaks", tuple(seen.leaks)),
    )
    against = {one.name: len(one.against) for one in findings}
    figures = {
        "answers": log.statuses(),
        "keys": len({attempt.key for attempt in log.attempts}),
        "accepted": len(log.accepted()),
        "submissions": len(seen.submissions),
        "leads": len(seen.leads),
        "mails": len(seen.mails),
        **{figure: against[name] for figure, name in _COUNTED.items()},
        "ambiguous": sum(delivery.ambiguous_attempts for delivery in seen.deliveries),
        **measured,
    }
    return Report(findings, figures)


_COUNTED = {
    "lost": "I1 lost",
    "doubled": "I3 duplicated",
    "stuck": "I5 stuck",
    "twice": "I7 mailed twice",
    "twice_ambiguous": "I8 ambiguous copies",
}
"""Figures that are the number of what speaks against an identity."""


def _lost(log: ClientLog, seen: Evidence) -> Iterable[str]:
    leads = {lead.id for lead in seen.leads}
    submissions = {row.id: row for row in seen.submissions}
    for key, lead_id in log.accepted().items():
        row = submissions.get(seen.keys.get(hash_of(key)) or "")
        if row is None:
            yield f"key {key} was answered 201 and has no submission"
        elif row.lead_id not in leads:
            yield f"key {key}: its submission {row.id} has no lead"
        elif row.lead_id != lead_id:
            yield f"key {key} was answered with lead {lead_id}, its submission is of {row.lead_id}"


def _unexpected(log: ClientLog, seen: Evidence) -> Iterable[str]:
    known = log.keys_of_addresses()
    yield from (f"submission {row.id} of nobody we know" for row in seen.submissions if row.address not in known)
    sent, mine = {hash_of(attempt.key) for attempt in log.attempts}, {row.id for row in seen.submissions}
    yield from (
        f"submission {submission} under a key that nobody has sent"
        for key, submission in seen.keys.items()
        if key not in sent and submission in mine
    )


def _duplicated(log: ClientLog, seen: Evidence) -> Iterable[str]:
    keys = log.keys_of_addresses()
    for address, count in Counter(row.address for row in seen.submissions).items():
        if count > len(keys.get(address, ())) > 0:
            yield f"{count} submissions for {len(keys[address])} keys of {address}"
    for address, count in Counter(lead.address for lead in seen.leads if lead.status in OPEN).items():
        if count > 1:
            yield f"{count} open leads of {address}"


def _recovered(log: ClientLog, seen: Evidence) -> Iterable[str]:
    accepted = log.accepted()
    never = {attempt.key for attempt in log.attempts} - set(accepted)
    return (f"key {key}: stored, never answered" for key in sorted(never) if seen.keys.get(hash_of(key)))


def _stuck(seen: Evidence) -> Iterable[str]:
    for lead in seen.leads:
        if lead.status in OPEN and lead.owner is None and lead.waiting_reason is None:
            yield f"lead {lead.id} is {lead.status} with neither owner nor waiting reason"
        elif lead.status == "assigned" and lead.next_mail is None:
            yield f"lead {lead.id} is assigned and no next mail attempt is known"


def _unfinished(seen: Evidence, final: frozenset[str]) -> Iterable[str]:
    return (f"lead {lead.id} is {lead.status}" for lead in seen.leads if lead.status not in final)


def _shown_otherwise(seen: Evidence) -> Iterable[str]:
    """What the API's list says of the new leads is what the tables say."""
    if seen.shown is None:
        return
    stored = {lead.id: (lead.status, lead.owner) for lead in seen.leads if lead.is_new}
    for lead_id in sorted(stored.keys() | seen.shown.keys()):
        if seen.shown.get(lead_id) != stored.get(lead_id):
            yield f"lead {lead_id} is {stored.get(lead_id)}, and is shown as {seen.shown.get(lead_id)}"


def _assignment(seen: Evidence) -> Iterable[str]:
    active: dict[str, list[str]] = defaultdict(list)
    for row in seen.assignments:
        if row.active:
            active[row.lead_id].append(row.attorney_id)
    for lead in seen.leads:
        owners = active[lead.id]
        if lead.status in OPEN and lead.owner is not None and len(owners) != 1:
            yield f"lead {lead.id} has {len(owners)} active assignments"
        elif lead.status in OPEN and owners and lead.owner != owners[0]:
            yield f"lead {lead.id}: owner {lead.owner} at intake, {owners[0]} at assignment"
    for attorney, counter in seen.load_counters.items():
        counted = seen.load_counts.get(attorney, 0)
        if counter != counted:
            yield f"attorney {attorney}: counter {counter}, counted {counted}"
        elif counter != seen.intake_loads.get(attorney, 0):
            yield f"attorney {attorney}: {counter} open at assignment, {seen.intake_loads.get(attorney, 0)} at intake"


def _dangling(seen: Evidence) -> Iterable[str]:
    for row in (one for one in seen.submissions if one.resume_key):
        digest = seen.objects.get(row.resume_key)
        if digest is None:
            yield f"submission {row.id}: its object {row.resume_key} is not there"
        elif digest and digest != row.resume_sha256:
            yield f"submission {row.id}: its object {row.resume_key} is another document"


def _histories(seen: Evidence) -> Iterable[str]:
    for lead in seen.leads:
        history = seen.histories.get(lead.id, History())
        for words in history.contradictions(lead.status, lead.owner):
            yield f"lead {lead.id}: {words}"


class Scenario:
    """One test's bracket: what happens between `begin` and `verify` is judged."""

    def __init__(self, stack: Stack, since: datetime, report: Callable[[str], None]) -> None:
        self.stack = stack
        self.crowd = Crowd()
        self.log = ClientLog()
        self.since = since
        self._report = report

    @classmethod
    async def begin(cls, stack: Stack, report: Callable[[str], None]) -> "Scenario":
        """Start with a quiet product, so that nothing of before is taken for ours."""
        await eventually(lambda: evidence.undrained(stack), lambda left: not left, within=QUIET_WITHIN, what="quiet")
        return cls(stack, await evidence.database_time(stack), report)

    async def left(self, final: Iterable[str] = ("reached_out",)) -> dict[str, int]:
        """Leads that are in none of ``final``, by status; else what is not drained."""
        wanted = frozenset(final)
        counts = await evidence.fetch(self.stack, "intake", _STATUS_COUNTS, self.since)
        unfinished = {row["status"]: row["count"] for row in counts if row["status"] not in wanted}
        return unfinished or await evidence.unfinished(self.stack, self.since)

    async def settle(self, final: Iterable[str] = ("reached_out",), within: float = QUIET_WITHIN) -> None:
        """Wait until every lead is in one of ``final`` and everything is drained. Running out of time is no error."""
        try:
            await eventually(lambda: self.left(final), lambda one: not one, within=within, every=0.25, what="settled")
        except AssertionError as error:
            self._report(f"  did not settle: {error}")

    async def verify(self, final: Iterable[str] = ("reached_out",), within: float = QUIET_WITHIN) -> Report:
        """Wait for quiet, gather, judge, print, and fail on any finding."""
        began = time.monotonic()
        await self.settle(final, within)
        measured = {"drained_s": round(time.monotonic() - began, 1), **figures_of(self.log)}
        addresses = {attempt.address for attempt in self.log.attempts}
        seen = await evidence.gather(self.stack, self.since, addresses, self.crowd)
        report = judge(self.log, seen, final=final, measured=measured)
        self._report(report.table())
        assert not report.failed, f"the checker found: {', '.join(map(str.strip, report.failed))}\n{report.table()}"
        return report


_STATUS_COUNTS = "SELECT status, count(*) FROM leads WHERE created_at >= $1 GROUP BY status"
