"""What must not be found in any tracked file."""

import re
import subprocess

import pytest

from deploy.local.layout import ROOT

# An address of a package index: its option, its variable, or a host and path of the usual shape.
INDEX = re.compile(
    r"(--(extra-)?index-url|--find[-]links|\bindex-url\s*=|\bregistry\s*=\s*.?https?:|(UV|PIP)_(EXTRA_)?INDEX(_URL)?=)"
    r"|https?://[^\s\"'/]*(pypi|pythonhosted|npmjs|registry)[^\s\"'/]*"
    r"|https?://[^\s\"'/]+/(simple|pypi|artifactory)/"
)


def tracked_files() -> list[str]:
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603 - fixed words
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def addresses(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if INDEX.search(line)]


def test_no_tracked_file_names_a_package_registry() -> None:
    found = {name: lines for name in tracked_files() if (lines := addresses((ROOT / name).read_text(errors="replace")))}
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        # Without the ~, which keeps this file itself free of addresses.
        "--index~-url https://example.org/simple",
        'url = "https:~//pypi.example.org/packages/a.whl"',
        "registry~=https://example.org",
        "source = { registry~ = 'https://mirror.example.org' }",
        "https:~//mirror.example.org/simple/",
        "UV_INDEX~_URL=x",
    ],
)
def test_such_an_address_would_be_found(line: str) -> None:
    line = line.replace("~", "")
    assert addresses(line) == [line]


def test_no_tracked_file_holds_both_sides_of_a_merge() -> None:
    sides = re.compile(r"^(<{7}|>{7}) ", re.MULTILINE)
    assert [name for name in tracked_files() if sides.search((ROOT / name).read_text(errors="replace"))] == []


def test_the_lock_file_has_hashes() -> None:
    assert "--hash=sha256:" in (ROOT / "requirements.lock").read_text()
