"""The soak's plan comes from its seed alone, covers every kind of fault, and its result is told in one table."""

from itertools import islice
from pathlib import Path

from chaos.soak import plans, table, write
from chaos.soak_faults import PLANNERS

RESULT = {
    "result": "passed",
    "seed": 7,
    "commit": "abc",
    "at": "2026-01-02T03:04:05+00:00",
    "minutes": 30.0,
    "leads_per_s": 4.0,
    "figures": {"accepted": 7000, "lost": 0, "p99_post_s": 1.5, "drained_s": 3.0},
    "faults": {"broker kill -9": {"landed": 3, "void": 1}, "poison": {"landed": 2, "void": 0}},
    "versions": {"RabbitMQ": "3.10.8"},
    "failures": [],
}


def shown(seed: int, count: int) -> list[tuple[str, str]]:
    return [(fault.kind, fault.words) for fault in islice(plans(seed), count)]


def test_a_seed_plans_the_same_faults_again() -> None:
    assert shown(7, 3 * len(PLANNERS)) == shown(7, 3 * len(PLANNERS))
    assert shown(7, len(PLANNERS)) != shown(8, len(PLANNERS))


def test_every_kind_comes_once_before_one_comes_twice() -> None:
    faults = list(islice(plans(7), 2 * len(PLANNERS)))
    first, second = faults[: len(PLANNERS)], faults[len(PLANNERS) :]
    assert len({fault.kind for fault in first}) == len(PLANNERS)
    assert {fault.kind for fault in first} == {fault.kind for fault in second}


def test_the_table_has_the_sums_and_every_kind() -> None:
    lines = table(RESULT).splitlines()
    assert "| faults landed / void | 5 / 1 |" in lines
    assert "| - broker kill -9 | 3 / 1 |" in lines
    assert "| accepted (201) | 7000 |" in lines
    assert "| seed, commit, date | 7, abc, 2026-01-02T03:04:05+00:00 |" in lines


def test_a_result_is_kept_in_a_file_of_its_own(tmp_path: Path) -> None:
    path = write(RESULT, tmp_path / "chaos")
    assert path.name == "soak-2026-01-02T030405-7.json"
    assert '"accepted": 7000' in path.read_text()
