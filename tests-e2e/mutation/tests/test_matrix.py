"""The matrix tells a test that notices from one that does not, over a small tree with a small fault."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from mutation import __main__ as command
from mutation.breakages import BREAKAGES, Breakage
from mutation.matrix import Row, Verdict, matrix

from deploy.local.layout import ROOT

PRODUCT = "shared-schemas/product/__init__.py"
TESTS = "tests/test_product.py"
PATCH = """One is added twice.

diff --git a/shared-schemas/product/__init__.py b/shared-schemas/product/__init__.py
--- a/shared-schemas/product/__init__.py
+++ b/shared-schemas/product/__init__.py
@@ -1,2 +1,2 @@
 def add_one(n):
-    return n + 1
+    return n + 2
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    for name, text in {
        PRODUCT: "def add_one(n):\n    return n + 1\n",
        TESTS: (
            "from product import add_one\n"
            "def test_sees(): assert add_one(1) == 2\n"
            "def test_sees_nothing(): assert add_one(1) > 1\n"
            "def test_is_red(): assert add_one(1) == 7\n"
            "def test_trips(): assert add_one(1) == 2, 'tripped'\n"
        ),
    }.items():
        (tree / name).parent.mkdir(parents=True)
        (tree / name).write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=tree, check=True)
    (tmp_path / "fault.patch").write_text(PATCH)
    return tree


def judged(tree: Path, test: str, words: str = "assert 3 == 2") -> Row:
    breakage = Breakage("fault", f"{TESTS}::{test}", words, tree.parent)
    (row,) = matrix(tree, tree.parent / "scratch", [breakage])
    return row


def test_a_breakage_that_is_noticed_is_killed_and_the_tree_stays_whole(tree: Path) -> None:
    row = judged(tree, "test_sees")
    assert (row.unbroken, row.broken, row.verdict) == ("green", "red", "killed")
    assert row.breakage.files == [PRODUCT]
    assert "n + 1" in (tree / PRODUCT).read_text()
    assert not (tree.parent / "scratch").exists()


def test_a_breakage_that_nobody_notices_has_survived(tree: Path) -> None:
    row = judged(tree, "test_sees_nothing")
    assert (row.broken, row.verdict) == ("green", "survived")


def test_a_test_that_is_red_before_proves_nothing(tree: Path) -> None:
    row = judged(tree, "test_is_red")
    assert (row.unbroken, row.broken, row.verdict) == ("red", None, "red before")


def test_a_test_that_does_not_exist_proves_nothing(tree: Path) -> None:
    assert judged(tree, "test_gone").verdict == "red before"


def test_red_for_another_reason_is_no_kill(tree: Path) -> None:
    assert judged(tree, "test_trips", words="fell").verdict == "red for another reason"


def test_a_patch_that_no_longer_applies_is_an_error(tree: Path) -> None:
    (tree / PRODUCT).write_text("def add_one(n):\n    return 1 + n\n")
    row = judged(tree, "test_sees")
    assert row.verdict == "does not apply"
    assert PRODUCT in row.words


@pytest.mark.parametrize("verdict", ["survived", "does not apply", "red before", "red for another reason"])
def test_anything_but_a_kill_fails_the_command(
    verdict: Verdict, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    killed = [Row(one, "green", "red", "killed", "", 1.0) for one in BREAKAGES]
    monkeypatch.setattr(command, "matrix", lambda *_: iter(killed))
    assert command.main(["--json"]) == 0
    assert [row["verdict"] for row in json.loads(capsys.readouterr().out)] == ["killed"] * len(BREAKAGES)
    worse = [replace(killed[0], verdict=verdict), *killed[1:]]
    monkeypatch.setattr(command, "matrix", lambda *_: iter(worse))
    assert command.main([]) == 1
    assert verdict in capsys.readouterr().out


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda one: one.name)
def test_every_breakage_says_what_it_breaks_and_where(breakage: Breakage) -> None:
    said = breakage.patch.read_text().split("diff --git")[0].strip()
    assert said.endswith(".")
    assert breakage.files


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda one: one.name)
def test_every_breakage_still_fits_the_product(breakage: Breakage) -> None:
    done = subprocess.run(
        ["git", "apply", "--check", str(breakage.patch)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (ROOT / breakage.test.partition("::")[0]).is_file()
