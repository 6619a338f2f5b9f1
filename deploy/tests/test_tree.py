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


@pytest.mark.parametrize("lock", ["requirements.lock", "deploy/requirements.runtime.lock"])
def test_s59_every_locked_package_has_one_version_and_hashes(lock: str) -> None:
    packages = [part for part in re.split(r"\n(?! )", (ROOT / lock).read_text()) if part and part[0] != "#"]
    assert len(packages) > 20
    assert [part for part in packages if not re.match(r"[\w.\[\]-]+==\S+( ;[^\\]*)? \\\n *--hash=sha256:", part)] == []


SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\blead_[A-Za-z0-9_-]{43}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b"
    r"|\beyJ[A-Za-z0-9_-]{20,}\.eyJ[A-Za-z0-9_-]{20,}\."
)


def test_s55_no_tracked_file_holds_a_secret() -> None:
    """Keys, API keys and tokens of the shapes that there are; passwords of tests are words, and look like it."""
    assert [name for name in tracked_files() if SECRETS.search((ROOT / name).read_text(errors="replace"))] == []


def test_s55_no_tracked_settings_set_a_secret() -> None:
    secret = re.compile(r"^[A-Z0-9_]*(SECRET|PASSWORD|_KEY|TOKEN)[A-Z0-9_]*=\S", re.MULTILINE)
    files = [name for name in tracked_files() if name.endswith(".env")]
    assert len(files) >= 2
    assert [name for name in files if secret.search((ROOT / name).read_text())] == []
