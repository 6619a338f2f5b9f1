"""A session: a fault that never lands fails it, and a poison that is no dead letter fails its run."""

import argparse
import random
from pathlib import Path
from typing import cast

import pytest
from chaos.__main__ import VOID_LIMIT, Session
from chaos.arena import Arena
from chaos.ledger import Entry, Result, first_seed
from chaos.run import Named, Run
from e2e.checker import Scenario
from e2e.rows import Evidence

ARENA = cast(Arena, None)  # nothing of it is asked for here


async def _nothing(_run: Run) -> None: ...


@pytest.mark.parametrize(
    ("results", "runs", "ends"),
    [(("void",) * 99, VOID_LIMIT, "failed"), (("void", "passed"), 2, "passed"), (("void", "failed"), 2, "failed")],
)
async def test_a_fault_that_does_not_land_is_tried_again_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results: tuple[Result, ...], runs: int, ends: Result
) -> None:
    left = list(results)

    async def once(_session: Session, _arena: Arena, named: Named, seed: int) -> Entry:
        return Entry(named.name, seed, "abc", left.pop(0), 0.1, "2026-01-01T00:00:00+00:00")

    monkeypatch.setattr(Session, "_once", once)
    session = Session(argparse.Namespace(ledger=tmp_path / "ledger.jsonl", json=False))
    await session._until_it_lands(ARENA, Named("F30", _nothing, "title"), 7)
    assert len({one.seed for one in session.entries}) == runs
    assert {first_seed(one.seed) for one in session.entries} == {7}
    assert [one.result for one in session._last_results()] == [ends]


def test_a_poison_that_is_no_dead_letter_is_a_failure() -> None:
    run = Run(ARENA, 1, random.Random(1), cast(Scenario, None), poisoned={"p1", "p2"})
    seen = Evidence(dead_letters=["q t p1: X at y", "q t healthy: X at y"])
    run._expect_dead_letters(seen)
    assert run.failures == ["1 of 2 poisons are dead letters"]
    assert seen.dead_letters == ["q t healthy: X at y"], "what was not poisoned is left for the checker"
