"""The soak's plan comes from its seed alone, covers every kind of fault, and its result is told in one table.

Its end waits for progress and not for time.
"""

from itertools import islice
from pathlib import Path

import pytest
from chaos.soak import draining
from chaos.soak.catalogue import CATALOGUE, plans
from chaos.soak.draining import drained
from chaos.soak.report import BEGIN, END, put_into, table, write

from deploy.local.errors import StackError

COUNT = sum(map(len, CATALOGUE.values()))
RESULT = {
    "result": "passed",
    "seed": 7,
    "commit": "abc",
    "at": "2026-01-02T03:04:05+00:00",
    "minutes": 30.0,
    "leads_per_s": 4.0,
    "figures": {"accepted": 7000, "lost": 0, "p99_post_s": 1.5, "drained_s": 3.0},
    "faults": {
        "broker": {"broker kill -9": {"landed": 3, "void": 1}, "queue full": {"landed": 1, "void": 0}},
        "messages": {"poison": {"landed": 2, "void": 0}},
    },
    "machine": "2 cores",
    "versions": {"Python": "3.11.2", "RabbitMQ": "3.10.8"},
    "failures": [],
}


def shown(seed: int, count: int) -> list[tuple[str, str]]:
    return [(fault.kind, fault.words) for _, fault in islice(plans(seed), count)]


def test_a_seed_plans_the_same_faults_again() -> None:
    assert shown(7, 3 * COUNT) == shown(7, 3 * COUNT)
    assert shown(7, COUNT) != shown(8, COUNT)


def test_every_kind_comes_once_before_one_comes_twice() -> None:
    faults = [fault for _, fault in islice(plans(7), 2 * COUNT)]
    first, second = faults[:COUNT], faults[COUNT:]
    assert len({fault.kind for fault in first}) == COUNT
    assert {fault.kind for fault in first} == {fault.kind for fault in second}


def test_the_faults_that_it_is_for_are_all_planned() -> None:
    kinds = {fault.kind for _, fault in islice(plans(7), COUNT)}
    assert kinds >= {
        *("queue full", "binding deleted", "memory alarm", "broker kill -9", "PostgreSQL crash"),
        *("scaled up, down again", "scaled down, up again", "SIGTERM, restart", "SIGSTOP, SIGCONT"),
        *("poison", "poison of 5 MB", "events said again", "old events said again", "events in another order"),
        *("leads moved by staff", "leads closed, reopened"),
    }


def test_the_table_has_the_sums_and_every_kind() -> None:
    lines = table(RESULT).splitlines()
    assert "| faults that hit work (and that did not, which count for nothing) | 6 (1) |" in lines
    assert "| faults: broker | broker kill -9 3 (1) · queue full 1 (0) |" in lines
    assert "| submissions answered 201 | 7000 |" in lines
    assert "| seed, commit, date | 7, abc, 2026-01-02 |" in lines
    assert "| versions | Python 3.11.2, RabbitMQ 3.10.8 |" in lines


def test_a_result_is_kept_in_a_file_of_its_own(tmp_path: Path) -> None:
    path = write(RESULT, tmp_path / "chaos")
    assert path.name == "soak-2026-01-02T030405-7.json"
    assert '"accepted": 7000' in path.read_text()
    assert (tmp_path / "chaos" / "soak.md").read_text() == table(RESULT) + "\n"


def test_the_table_replaces_the_one_before_in_a_page(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    put_into(page, "new")
    put_into(page, None)
    assert page.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


def test_a_page_without_both_marks_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"{END}\n{BEGIN}\n")
    with pytest.raises(StackError, match="has not got the lines"):
        put_into(page, "new")
    assert page.read_text() == f"{END}\n{BEGIN}\n"


async def test_what_goes_on_is_waited_for_and_a_standstill_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "STANDSTILL_S", 0.05)
    monkeypatch.setattr(draining, "_LOOK_EVERY_S", 0.02)
    said: list[str] = []
    slow = iter(range(20, -1, -1))

    async def goes_on() -> int:
        return next(slow)

    await drained(goes_on, said.append)
    assert next(slow, None) is None
    assert not said

    async def stands_still() -> dict[str, int]:
        return {"registered": 1}

    await drained(stands_still, said.append)
    assert said == ["  nothing changes any more: {'registered': 1}"]


async def test_an_end_that_nobody_answers_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "_LOOK_EVERY_S", 0.01)
    asked: list[int] = []

    async def look() -> int:
        asked.append(1)
        if len(asked) < 3:
            raise ConnectionError
        return 0

    said: list[str] = []
    await drained(look, said.append)
    assert (len(asked), said) == (3, [])
