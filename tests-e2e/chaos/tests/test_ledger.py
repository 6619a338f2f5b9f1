"""The ledger: what was run is not run again, and a torn line spoils nothing."""

from pathlib import Path

import pytest
from chaos.ledger import Entry, Ledger, Result, first_seed, sub_seed, table


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "chaos" / "ledger.jsonl")


def entry(seed: int = 1, result: Result = "passed", commit: str = "abc", scenario: str = "F30") -> Entry:
    return Entry(scenario, seed, commit, result, 1.5, "2026-01-01T00:00:00+00:00", {"accepted": 20, "drained_s": 2.5})


def test_what_was_appended_is_read_back(ledger: Ledger) -> None:
    assert ledger.entries() == []
    ledger.append(entry())
    ledger.append(entry(2, "failed"))
    assert ledger.entries() == [entry(), entry(2, "failed")]


def test_only_what_passed_at_this_commit_counts_as_done(ledger: Ledger) -> None:
    for one in (entry(1), entry(2, "failed"), entry(3, "void"), entry(4, commit="other")):
        ledger.append(one)
    assert ledger.passed("abc") == {("F30", 1)}


def test_a_torn_last_line_is_passed_over_and_does_not_spoil_the_next(ledger: Ledger) -> None:
    ledger.append(entry(1))
    with ledger.path.open("a") as lines:
        lines.write('{"scenario": "F3')
    ledger.append(entry(2))
    assert [one.seed for one in ledger.entries()] == [1, 2]


def test_a_sub_seed_stands_for_its_seed() -> None:
    assert sub_seed(7, 0) == 7
    assert first_seed(sub_seed(7, 3)) == 7


def test_the_table_sums_what_landed() -> None:
    lines = table([entry(1), entry(2), entry(3, "void")]).splitlines()
    assert lines[1].split()[:5] == ["F30", "2", "0", "1", "40"]
