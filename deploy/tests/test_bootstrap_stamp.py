from pathlib import Path

import pytest

from deploy.local import bootstrap_stamp

MEMBERS = ("one",)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path in ("requirements.lock", "pyproject.toml", "one/pyproject.toml", "venv/bin/python"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    bootstrap_stamp.write(tmp_path / "venv", bootstrap_stamp.expected(tmp_path, MEMBERS))
    return tmp_path


def is_current(root: Path) -> bool:
    return bootstrap_stamp.is_current(root / "venv", bootstrap_stamp.expected(root, MEMBERS))


def test_an_unchanged_environment_is_current(root: Path) -> None:
    assert is_current(root)


@pytest.mark.parametrize("path", ["requirements.lock", "pyproject.toml", "one/pyproject.toml"])
def test_a_changed_file_asks_for_an_installation(root: Path, path: str) -> None:
    (root / path).write_text("changed")
    assert not is_current(root)


def test_another_interpreter_asks_for_an_installation(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.version", "3.99")
    assert not is_current(root)


def test_a_moved_checkout_asks_for_an_installation(root: Path) -> None:
    moved = root.with_name(root.name + "-moved")
    root.rename(moved)
    assert not is_current(moved)


def test_a_lost_interpreter_asks_for_an_installation(root: Path) -> None:
    (root / "venv/bin/python").unlink()
    assert not is_current(root)


def test_an_interrupted_installation_is_not_taken_for_a_whole_one(root: Path) -> None:
    bootstrap_stamp.forget(root / "venv")
    assert not is_current(root)
