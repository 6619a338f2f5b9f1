"""docs/security.md says of each row of the security checklist that a test shows it, or why none does."""

import re

import pytest

from deploy.local.layout import ROOT

from .test_tree import tracked_files

ROWS = [f"S{number:02}" for first, last in ((1, 26), (30, 45), (50, 64)) for number in range(first, last + 1)]
"""Rows of the public form, of logins and roles, of data and operations; numbers between them are not in use."""
PAGE = (ROOT / "docs" / "security.md").read_text()


@pytest.fixture(scope="module")
def tested() -> set[str]:
    """The numbers in the names of tests: test_s35_... is of S35, test_f08_... of F08."""
    files = [ROOT / name for name in tracked_files() if re.search(r"/test_[a-z0-9_]+\.py$", name)]
    names = (found for file in files for found in re.findall(r"def test_([sf]\d\d)_", file.read_text()))
    return {name.upper() for name in names}


@pytest.mark.parametrize("row", [*ROWS, "F08", "F50"])
def test_a_row_has_a_test_or_a_line_that_says_why_not(row: str, tested: set[str]) -> None:
    excused = re.findall(r"^- ([SF]\d\d)\b", PAGE, re.MULTILINE)
    assert row in tested or row in excused


def test_a_number_in_brackets_has_a_test(tested: set[str]) -> None:
    claimed = {row for group in re.findall(r"\[([SF]\d\d(?:, [SF]\d\d)*)\]", PAGE) for row in group.split(", ")}
    assert len(claimed) > len(ROWS) / 2
    assert claimed - tested == set()
