"""The ledger: what was run is not run again, and a torn line spoils nothing."""

import subprocess
from pathlib import Path

import pytest
from chaos.ledger import Entry, Ledger, Result, commit_of, first_seed, seeds_passed, sub_seed, table


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


def test_seeds_are_counted_once_and_only_where_they_passed() -> None:
    runs = [entry(1), entry(1), entry(sub_seed(2, 1)), entry(3, "failed"), entry(4, "void"), entry(1, scenario="F43")]
    assert seeds_passed(runs) == {"F30": 2, "F43": 1}


def test_a_change_of_product_or_suite_is_another_commit(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        author = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *author, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    product, page = tmp_path / "intake-api" / "a.py", tmp_path / "README.md"
    suite = tmp_path / "tests-e2e" / "chaos" / "b.py"
    seen = []
    for number, path in enumerate((product, suite, page)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(number))
        git("add", "-A")
        git("commit", "-m", "x")
        seen.append(commit_of(tmp_path))
    assert seen[0] != seen[1] == seen[2], "a page changes nothing, product and suite do"
    marks = []
    for words in ("one", "other"):
        suite.write_text(words)
        marks.append(commit_of(tmp_path))
    assert len({*seen, *marks}) == 4, "what is not committed is told apart, too"
    assert all(mark.startswith(f"{seen[1]}+") for mark in marks)
