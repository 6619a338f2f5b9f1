"""The checker itself: it must name a planted loss, double, ghost and stuck row, and stay silent on a clean run."""

from dataclasses import replace
from pathlib import Path

import pytest
from e2e import leaks
from e2e.checker import figures_of, hash_of, judge
from e2e.client_log import ClientLog
from e2e.histories import AuditRow, History, TimelineRow
from e2e.mailboxes import SinkMail
from e2e.rows import AssignmentRow, DeliveryRow, Evidence, LeadRow, SubmissionRow

ADDRESSES = ("one@example.com", "two@example.com")
TIMELINE = (
    TimelineRow("lead.registered", "prospect", {}),
    TimelineRow(
        "lead.assigned", "assignment-worker", {"attorney_id": "ada", "epoch": 0, "decision": 1, "applied": True}
    ),
    TimelineRow("lead.reached-out", "mailer-worker", {"kind": "welcome", "attorney_id": "ada"}),
)


@pytest.fixture
def log() -> ClientLog:
    log = ClientLog()
    for number, address in enumerate(ADDRESSES):
        log.end(log.begin(f"key{number}", address), None)  # the first answer is lost, the second arrives
        log.end(log.begin(f"key{number}", address), 201, f"lead{number}")
    return log


@pytest.fixture
def seen() -> Evidence:
    numbered = list(enumerate(ADDRESSES))
    return Evidence(
        submissions=[SubmissionRow(f"s{n}", f"lead{n}", address, f"object{n}", f"sha{n}") for n, address in numbered],
        keys={hash_of(f"key{n}"): f"s{n}" for n, _ in numbered},
        leads=[LeadRow(f"lead{n}", address, "reached_out", owner="ada") for n, address in numbered],
        histories={f"lead{n}": History(TIMELINE) for n, _ in numbered},
        assignments=[AssignmentRow(f"lead{n}", "ada") for n, _ in numbered],
        load_counters={"ada": 2, "ben": 0},
        load_counts={"ada": 2},
        intake_loads={"ada": 2},
        deliveries=[DeliveryRow(f"d{n}", f"lead{n}", a, "sent", message_id=f"<d{n}>") for n, a in numbered],
        mails=[SinkMail(address, f"<d{n}>", "") for n, address in numbered],
        objects={f"object{n}": f"sha{n}" for n, _ in numbered},
    )


def test_a_clean_run_has_no_finding(log: ClientLog, seen: Evidence) -> None:
    report = judge(log, seen)
    assert report.failed == []
    assert report.figures["answers"] == {"201": 2, "unknown": 2}


def test_a_submission_that_is_gone_is_lost(log: ClientLog, seen: Evidence) -> None:
    del seen.submissions[0]
    assert "I1 lost" in judge(log, seen).failed


def test_a_submission_whose_lead_is_gone_is_lost(log: ClientLog, seen: Evidence) -> None:
    del seen.leads[0]
    assert "I1 lost" in judge(log, seen).failed


def test_an_answer_that_names_another_lead_is_a_loss(log: ClientLog, seen: Evidence) -> None:
    log.attempts[1].lead_id = "lead9"
    assert judge(log, seen).failed == ["I1 lost"]


def test_a_submission_of_nobody_is_unexpected(log: ClientLog, seen: Evidence) -> None:
    seen.submissions.append(SubmissionRow("s9", "lead0", "nobody@example.com", "object0", "sha0"))
    assert judge(log, seen).failed == ["I2 unexpected"]


def test_a_submission_under_a_key_that_nobody_sent_is_unexpected(log: ClientLog, seen: Evidence) -> None:
    seen.submissions.append(SubmissionRow("s9", "lead0", ADDRESSES[0], "object0", "sha0"))
    seen.keys[hash_of("key9")] = "s9"
    assert judge(log, seen).failed == ["I2 unexpected", "I3 duplicated"]


def test_a_second_submission_of_one_key_is_a_double(log: ClientLog, seen: Evidence) -> None:
    seen.submissions.append(replace(seen.submissions[0], id="s9"))
    assert judge(log, seen).failed == ["I3 duplicated"]


def test_a_second_open_lead_of_an_address_is_a_double(log: ClientLog, seen: Evidence) -> None:
    seen.leads.append(LeadRow("lead9", ADDRESSES[0], "registered", waiting_reason="nobody"))
    seen.histories["lead9"] = History(TIMELINE[:1])
    assert judge(log, seen, final=("reached_out", "registered")).failed == ["I3 duplicated"]


def test_a_key_that_was_stored_but_never_answered_is_listed(log: ClientLog, seen: Evidence) -> None:
    log.attempts.pop()
    report = judge(log, seen)
    assert report.failed == []
    assert report.of("I4 recovered").against == ("key key1: stored, never answered",)


def test_a_lead_with_neither_owner_nor_reason_is_stuck(log: ClientLog, seen: Evidence) -> None:
    seen.leads[0] = replace(seen.leads[0], status="registered", owner=None)
    assert "I5 stuck" in judge(log, seen).failed


def test_an_assigned_lead_without_a_next_mail_is_stuck_and_unfinished(log: ClientLog, seen: Evidence) -> None:
    seen.leads[0] = replace(seen.leads[0], status="assigned")
    seen.histories["lead0"] = History(TIMELINE[:2])
    assert judge(log, seen).failed == ["I5 stuck", "   unfinished"]


def test_a_lead_that_the_api_shows_otherwise_is_named(log: ClientLog, seen: Evidence) -> None:
    seen.shown = {"lead0": ("reached_out", "ada"), "lead1": ("reached_out", "ada")}
    assert judge(log, seen).failed == []
    seen.shown = {"lead0": ("assigned", "ada"), "lead9": ("registered", None)}
    report = judge(log, seen)
    assert report.failed == ["   shown otherwise"]
    assert len(report.of("   shown otherwise").against) == 3, "another status, one not shown, one not stored"


def test_an_older_lead_need_not_be_shown(log: ClientLog, seen: Evidence) -> None:
    seen.leads[0] = replace(seen.leads[0], is_new=False)
    seen.shown = {"lead1": ("reached_out", "ada")}
    assert judge(log, seen).failed == []


def test_sent_without_a_mail_is_a_ghost(log: ClientLog, seen: Evidence) -> None:
    del seen.mails[1]
    assert judge(log, seen).failed == ["I6 ghost sent"]


def test_a_lead_told_as_reached_without_a_sent_mail_is_a_ghost(log: ClientLog, seen: Evidence) -> None:
    seen.deliveries[0] = replace(seen.deliveries[0], state="deferred")
    del seen.mails[0]
    assert judge(log, seen).failed == ["I6 ghost sent"]


def test_a_person_may_reach_a_lead_without_our_mail(log: ClientLog, seen: Evidence) -> None:
    by_hand = TimelineRow("lead.status-changed", "ada", {"from": "assigned", "to": "reached_out", "epoch": 1})
    to = {"to": {"status": "reached_out", "epoch": 1}, "from": {"status": "assigned", "epoch": 0}}
    seen.histories["lead0"] = History((*TIMELINE[:2], by_hand), (AuditRow("change_lead", to),))
    seen.deliveries[0] = replace(seen.deliveries[0], state="cancelled", message_id=None)
    del seen.mails[0]
    assert judge(log, seen).failed == []


def test_a_second_copy_is_a_double_unless_it_is_ambiguous(log: ClientLog, seen: Evidence) -> None:
    seen.mails.append(seen.mails[0])
    assert judge(log, seen).failed == ["I7 mailed twice"]
    seen.deliveries[0] = replace(seen.deliveries[0], ambiguous=True)
    report = judge(log, seen)
    assert report.failed == []
    assert len(report.of("I8 ambiguous copies").against) == 1


def test_a_link_has_a_mail_beside_the_welcome_mail_and_only_one(log: ClientLog, seen: Evidence) -> None:
    for number in ("7", "8"):
        link = DeliveryRow(f"d{number}", "lead0", ADDRESSES[0], "sent", message_id=f"<d{number}>", kind="prospect_link")
        seen.deliveries.append(link)
        seen.mails.append(SinkMail(ADDRESSES[0], f"<d{number}>", ""))
    assert judge(log, seen).failed == []
    seen.mails.append(seen.mails[-1])
    assert judge(log, seen).failed == ["I7 mailed twice"]


def test_an_ambiguous_copy_must_have_the_same_message_id(log: ClientLog, seen: Evidence) -> None:
    seen.deliveries[0] = replace(seen.deliveries[0], ambiguous=True)
    seen.deliveries.append(replace(seen.deliveries[0], id="d9", message_id="<d9>"))
    seen.mails.append(replace(seen.mails[0], message_id="<d9>"))
    assert judge(log, seen).failed == ["   copies that differ"]
    seen.deliveries[-1] = replace(seen.deliveries[-1], asked_for=True)
    assert judge(log, seen).failed == [], "a person may ask for another mail"


def test_an_ambiguous_copy_must_be_the_same_mail(log: ClientLog, seen: Evidence) -> None:
    seen.deliveries[0] = replace(seen.deliveries[0], ambiguous=True)
    seen.mails.append(replace(seen.mails[0], content_hash="another"))
    assert judge(log, seen).failed == ["   copies that differ"]


def test_a_mail_that_no_delivery_knows_is_named(log: ClientLog, seen: Evidence) -> None:
    seen.mails.append(SinkMail(ADDRESSES[0], "<other>", ""))
    assert judge(log, seen).failed == ["   unexplained mail"]


def test_a_counter_that_is_not_the_count_is_named(log: ClientLog, seen: Evidence) -> None:
    seen.load_counters["ben"] = 1
    assert judge(log, seen).failed == ["I9 assignment"]


def test_a_lead_assigned_twice_is_named(log: ClientLog, seen: Evidence) -> None:
    seen.assignments.append(AssignmentRow("lead0", "ben"))
    assert judge(log, seen).failed == ["I9 assignment"]


def test_a_lead_without_an_active_assignment_is_named(log: ClientLog, seen: Evidence) -> None:
    seen.assignments[0] = replace(seen.assignments[0], active=False)
    assert judge(log, seen).of("I9 assignment").against == ("lead lead0 has 0 active assignments",)


def test_owners_that_differ_are_named(log: ClientLog, seen: Evidence) -> None:
    seen.assignments[0] = replace(seen.assignments[0], attorney_id="ben")
    words = judge(log, seen).of("I9 assignment").against
    assert words == ("lead lead0: owner ada at intake, ben at assignment",)


def test_a_load_at_intake_that_differs_is_named(log: ClientLog, seen: Evidence) -> None:
    seen.intake_loads["ada"] = 1
    assert judge(log, seen).of("I9 assignment").against == ("attorney ada: 2 open at assignment, 1 at intake",)


def test_an_object_that_is_gone_or_another_is_dangling(log: ClientLog, seen: Evidence) -> None:
    seen.objects["object0"] = "sha9"
    del seen.objects["object1"]
    report = judge(log, seen)
    assert report.failed == ["I10 dangling"]
    assert len(report.of("I10 dangling").against) == 2


def test_a_resume_that_was_withdrawn_is_not_missed(log: ClientLog, seen: Evidence) -> None:
    seen.submissions[0] = replace(seen.submissions[0], resume_key="")
    del seen.objects["object0"]
    assert judge(log, seen).failed == []


def test_what_is_not_drained_dead_or_logged_is_named(log: ClientLog, seen: Evidence) -> None:
    seen.undrained["mailer.outbox"] = 1
    seen.dead_letters.append("mailer.outreach lead.assigned.v1")
    seen.leaks.append("intake-api.log: canary")
    assert judge(log, seen).failed == ["I12 not drained", "I13 dead letters", "I15 leaks"]


@pytest.mark.parametrize(
    ("log", "line", "is_leak"),
    [
        ("intake-worker-1.log", "crash report: Ada@Example.com", True),
        ("leads@localhost.log", "crash report: ada@example.com", False),
        ("leadsa@localhost.log", "crash report: +15551234567", True),
        ("rabbitmq.log", "crash report: +15551234567", True),
        ("mail.log", "got mail for ada@example.com", False),
    ],
)
def test_the_brokers_own_log_may_hold_what_a_message_may_and_no_more(
    tmp_path: Path, log: str, line: str, is_leak: bool
) -> None:
    (tmp_path / log).write_text(f"nothing\n{line}\n")
    found = leaks.in_logs(tmp_path, ("ada@example.com", "+15551234567"), ("+15551234567",))
    assert found == ([f"{log}: {line}"] if is_leak else [])


def test_an_object_of_no_submission_is_an_orphan(log: ClientLog, seen: Evidence) -> None:
    seen.orphans.append("submissions/nobodys")
    assert judge(log, seen).failed == ["I11 orphans"]


def test_a_lead_whose_timeline_tells_another_story_is_named(log: ClientLog, seen: Evidence) -> None:
    seen.histories["lead0"] = History(TIMELINE[:2])
    report = judge(log, seen)
    assert report.failed == ["I14 history"]
    assert report.of("I14 history").against == ("lead lead0: is reached_out, and its timeline leads to assigned",)


def test_the_table_has_every_figure(log: ClientLog, seen: Evidence) -> None:
    seen.deliveries[0] = replace(seen.deliveries[0], ambiguous=True, ambiguous_attempts=2)
    seen.mails.append(seen.mails[0])
    figures = judge(log, seen, measured={"drained_s": 1.5, **figures_of(log)}).table().splitlines()[0]
    for words in (
        "lost 0",
        "doubled 0",
        "twice 0",
        "twice_ambiguous 1",
        "stuck 0",
        "ambiguous 2",
        "drained_s 1.5",
        "5xx 0",
    ):
        assert words in figures, words


def test_answers_are_measured_until_all_is_healed(log: ClientLog) -> None:
    log.end(log.begin("key9", ADDRESSES[0]), 503)
    for attempt, seconds in zip(log.attempts, (0.0, 1.0, 0.0, 2.0, 3.0), strict=True):
        attempt.sent_at, attempt.answered_at = 10.0, None if attempt.status is None else 10.0 + seconds
    log.attempts[-1].sent_at, log.attempts[-1].answered_at = 20.0, 23.0
    assert figures_of(log) == {"p99_post_s": 3.0, "5xx": 1}
    assert figures_of(log, until=15.0) == {"p99_post_s": 2.0, "5xx": 0}


def test_the_table_names_what_was_found(log: ClientLog, seen: Evidence) -> None:
    del seen.mails[1]
    table = judge(log, seen).table()
    assert "I6 ghost sent              1  FAIL" in table
    assert "delivery d1 says sent, and <d1> never arrived" in table
