from pathlib import Path

import pytest

from deploy.local import env_file
from deploy.local.errors import StackError


def test_keys_values_comments_and_quotes_are_read() -> None:
    text = "# a comment\n\nA=1\nB_2=\"two words\"\nC='#3'\nD=a=b\nE=\n"
    assert env_file.parse(text, "x.env") == {"A": "1", "B_2": "two words", "C": "#3", "D": "a=b", "E": ""}


@pytest.mark.parametrize("line", ["export A=1", "a=1", "A 1", "=1", 'A="open', "A='open\"", 'A=open"', 'A="'])
def test_what_is_not_understood_is_refused_with_file_and_line(line: str) -> None:
    with pytest.raises(StackError, match=r"x\.env, line 2"):
        env_file.parse(f"OK=1\n{line}\n", "x.env")


def test_a_key_given_twice_is_refused() -> None:
    with pytest.raises(StackError, match="A is given twice"):
        env_file.parse("A=1\nA=2\n", "x.env")


def test_overrides_win_over_the_file_and_the_environment_over_both(tmp_path: Path) -> None:
    base, overrides = tmp_path / "dev.env", tmp_path / "overrides"
    overrides.mkdir()
    base.write_text("A=base\nB=base\nC=base\nD=base\n")
    (overrides / "1.env").write_text("B=first\nC=first\nD=first\n")
    (overrides / "2.env").write_text("C=second\nD=second\n")
    (overrides / "notes.txt").write_text("not read")
    merged = env_file.read_layers(base, overrides, {"D": "environment"})
    assert merged == {"A": "base", "B": "first", "C": "second", "D": "environment"}
