"""Nobody to assign to: no attorney, all full, the last one leaving."""

import time
from typing import Any

import httpx
from e2e import evidence, roster
from e2e.eventually import eventually

from chaos.fault_proxy import COMMIT, Trap
from chaos.run import Run, VoidRunError, scenario


@scenario("F27")
async def nobody_can_take_a_lead(run: Run) -> None:
    """No attorney, all full, one leaving: leads wait with a reason, cause no storm, and go on when somebody can."""
    async with run.staff() as staff:
        async with roster.everybody_off(run.stack, staff):
            await run.load(8)
            await _all_wait(run, 8, "nobody_available")
            dead = await run.fetch_value(
                "intake", "SELECT count(*) FROM dead_letters WHERE last_at >= $1", run.scenario.since
            )
            run.check(dead == 0, f"{dead} dead letters of leads that wait")
            said = await run.fetch_value("intake", _SAID_WAITING, run.scenario.since)
            run.check(said == 8, f"8 leads wait, and {said} times it was said so")
        began = time.monotonic()
        await run.reached(within=20)
        run.figures["wait_s"] = round(time.monotonic() - began, 1)
        await _first_come_first_served(run)
        team = [one for one in await roster.attorneys(staff) if one["available"]]
        try:
            for one in team:
                await roster.change(staff, one["id"], capacity=one["open_leads"])
            await roster.replicated(run.stack, staff)
            await run.load(6)
            await _all_wait(run, 6, "all_at_capacity")
            for one in team:
                await roster.change(staff, one["id"], capacity=None)
            await run.reached(within=20)
            await _first_come_first_served(run)
            await _one_leaves_while_chosen(run, staff, team)
        finally:
            for one in team:
                await roster.change(staff, one["id"], capacity=None, available=True)
        run.healed()
        await run.reached(within=20)


async def _one_leaves_while_chosen(run: Run, staff: httpx.AsyncClient, team: list[dict[str, Any]]) -> None:
    """The only attorney there is leaves between a choice of them and its COMMIT: that choice stands, no later one."""
    leaving, *others = run.chance.sample(team, len(team))
    for one in others:
        await roster.change(staff, one["id"], available=False)
    await roster.replicated(run.stack, staff)
    async with run.under_load(6):
        for _ in range(30):
            trap = Trap("c2s", COMMIT, "freeze_connection")
            run.arena.lay(trap, "database", "assignment-worker")
            await run.sprung(trap)
            if await run.fetch_value("assignment", _HELD_CHOICES):
                break
            run.arena.heal()
        else:
            raise VoidRunError("no commit of a choice was caught")
        before = {row["lead_id"] for row in await run.fetch("assignment", _GIVEN, run.scenario.since)}
        left_at = await evidence.database_time(run.stack)
        await roster.change(staff, leaving["id"], available=False)
        run.arena.heal()
    await roster.replicated(run.stack, staff)
    gone_at = await evidence.database_time(run.stack)
    await run.load(2)

    async def open_choices() -> int:
        count: int = await run.fetch_value("assignment", _UNDECIDED)
        return count

    await eventually(open_choices, lambda count: not count, what="every lead is assigned or waits")
    after = await run.fetch("assignment", _GIVEN, run.scenario.since)
    caught = [row for row in after if row["lead_id"] not in before and row["assigned_at"] < left_at]
    if not caught:
        raise VoidRunError("nobody was chosen when they left")
    run.check({str(row["attorney_id"]) for row in caught} == {leaving["id"]}, "somebody absent was chosen")
    late = [row for row in after if row["assigned_at"] > gone_at]
    run.check(not late, f"{len(late)} leads were given to somebody who was gone")
    run.figures["chosen_when_left"] = len(caught)


_HELD_CHOICES = """
    SELECT count(*) FROM pg_stat_activity s JOIN pg_locks l USING (pid)
    WHERE s.datname = current_database() AND s.backend_xid IS NOT NULL AND s.state = 'idle in transaction'
    AND l.locktype = 'relation' AND l.relation = 'assignments'::regclass AND l.mode = 'RowExclusiveLock'
"""
_GIVEN = "SELECT lead_id, attorney_id, assigned_at FROM assignments WHERE assigned_at >= $1 ORDER BY assigned_at"
_UNDECIDED = "SELECT count(*) FROM leads WHERE state = 'pending'"


async def _first_come_first_served(run: Run) -> None:
    """Whoever waited was given an attorney in the order in which they came."""
    given = [row["lead_id"] for row in await run.fetch("assignment", _GIVEN, run.scenario.since)]
    came = [row["id"] for row in await run.fetch("intake", _CAME, run.scenario.since)]
    run.check(given == came, f"leads came in the order {came}, and were given in the order {given}")


_CAME = "SELECT id FROM leads WHERE created_at >= $1 ORDER BY created_at, id"


_SAID_WAITING = "SELECT count(*) FROM timeline WHERE type = 'lead.waiting' AND at >= $1"
_WAITING = """
    SELECT count(*) FROM leads WHERE created_at >= $1 AND status = 'registered' AND waiting_reason = $2
"""


async def _all_wait(run: Run, count: int, reason: str) -> None:
    async def waiting() -> int:
        found: int = await run.fetch_value("intake", _WAITING, run.scenario.since, reason)
        return found

    await eventually(waiting, lambda found: found == count, within=30, what=f"{count} leads wait for {reason}")
