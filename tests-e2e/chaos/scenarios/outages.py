"""The database, frozen processes and cut networks."""

import asyncio
import signal
import time

import asyncpg
from e2e.eventually import PATIENCE, eventually

from chaos.fault_proxy import DELIVER, Trap
from chaos.members import WORKERS, Kind
from chaos.run import Run, VoidRunError, scenario
from chaos.scenarios.seen import given_up, probe, unfinished

OUTAGE_S = 10.0
_ANSWERED_WITHIN_S = 20.0
_DATABASES: dict[Kind, str] = {"intake-worker": "intake", "assignment-worker": "assignment", "mailer-worker": "mailer"}


@scenario("F40")
async def postgres_crashes(run: Run) -> None:
    """PostgreSQL crashes under load: 503 or no answer meanwhile, then everybody goes on without a restart."""
    async with run.under_load():
        await run.accepted(run.chance.randrange(2, run.leads // 2))
        interrupted = run.scenario.log.in_flight
        await run.arena.kill_service(run.arena.postgres, signal.SIGQUIT)
        run.healed()
    _clients_were_told(run)
    await _no_failures(run)
    if not interrupted:
        raise VoidRunError("no request was interrupted")
    run.figures["interrupted"] = interrupted


@scenario("F41")
async def every_session_is_ended(run: Run) -> None:
    """Every database session is ended under load, three times: nobody restarts, nothing is lost."""
    ended = at_work = 0
    async with run.under_load():
        for moment in sorted(run.chance.sample(range(2, run.leads - 8), 3)):
            await run.accepted(moment)
            administrator = await asyncpg.connect(run.arena.postgres.admin_url)
            try:
                sessions = await administrator.fetchrow(_END_AND_TELL)
            finally:
                await administrator.close()
            ended, at_work = ended + sessions["ended"], at_work + sessions["at_work"]
        run.healed()
    _clients_were_told(run)
    await _no_failures(run)
    run.figures |= {"ended": ended, "in_transaction": at_work}
    if not at_work:
        raise VoidRunError("no session that was ended was in a transaction")


END_SESSIONS = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
_END_AND_TELL = """
    WITH others AS MATERIALIZED (
        SELECT pid, backend_xid IS NOT NULL AS at_work FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
    )
    SELECT count(pg_terminate_backend(pid)) AS ended, count(*) FILTER (WHERE at_work) AS at_work FROM others
"""


@scenario("F47")
async def a_worker_is_frozen(run: Run) -> None:
    """A worker is stopped (SIGSTOP) with messages in hand: others take over, and it wakes up without harm."""
    kind = run.variant(WORKERS)
    trap = Trap("s2c", DELIVER, "notice", skip=run.chance.randrange(run.leads // 2))
    trap.then = lambda proxy: _stop(run, trap)
    run.arena.lay(trap, "broker", kind)
    async with run.under_load():
        await run.sprung(trap)
        began = time.monotonic()
    victim = run.arena.victim_of(trap)
    try:
        await run.reached(90)
        run.figures["taken_over_s"] = round(time.monotonic() - began, 1)
    finally:
        victim.signal(signal.SIGCONT)
    run.healed()
    run.figures["victim"] = victim.name


def _stop(run: Run, trap: Trap) -> None:
    run.arena.victim_of(trap).signal(signal.SIGSTOP)


@scenario("F48")
async def a_service_is_cut_off(run: Run) -> None:
    """A service's network is silent on every side until the broker gives it up: not ready; the rest goes on."""
    kind = run.variant(WORKERS)
    members = run.arena.of(kind)
    async with run.under_load():
        await run.accepted(run.chance.randrange(run.leads // 2))
        links = {port for member in members for port in member.hops["broker"].outward_ports}
        began = time.monotonic()
        for member in members:
            for proxy in member.hops.values():
                proxy.mode = "blackhole"
    run.check(set(run.scenario.log.statuses()) == {"201"}, f"answers {run.scenario.log.statuses()}")
    await eventually(
        lambda: probe(members, "/readyz"),
        lambda codes: 200 not in codes,
        within=30,
        what="it says not ready",
    )
    run.figures["given_up_s"] = await given_up(run, links, began)
    others = await probe([one for one in run.arena.members if one.kind != kind], "/readyz")
    run.check(set(others) == {200}, f"the other services are not ready: {others}")
    left = await unfinished(run)
    run.arena.heal()
    run.healed()
    began = time.monotonic()
    await eventually(
        lambda: probe(members, "/readyz"), lambda codes: set(codes) == {200}, within=60, what="it is ready again"
    )
    run.figures["rejoined_s"] = round(time.monotonic() - began, 1)
    run.figures["kind"] = kind
    if not left:
        raise VoidRunError("nothing was left to do when the network was back")


def _clients_were_told(run: Run) -> None:
    """Nothing but 201, 409, 503 or a lost link; every 503 says when to come again; nobody hangs."""
    log = run.scenario.log
    others = set(log.statuses()) - {"201", "409", "503", "unknown"}
    run.check(not others, f"answers {log.statuses()}")
    run.check(not log.unhinted(), f"{log.unhinted()} answers of 503 without Retry-After")
    slowest = log.longest()
    run.check(slowest < _ANSWERED_WITHIN_S * PATIENCE, f"the slowest request took {slowest:.1f} s")
    run.figures |= {"slowest_s": round(slowest, 1), "refused": log.statuses().get("503", 0)}


@scenario("F42")
async def connections_are_used_up(run: Run) -> None:
    """PostgreSQL has no connection left for the intake role: 503 meanwhile, no attempt burned, then all goes on."""
    async with run.under_load():
        await run.accepted(run.chance.randrange(2, run.leads // 2))
        await as_superuser(run, "ALTER ROLE intake_app CONNECTION LIMIT 0", END_INTAKE_SESSIONS)
        began = time.monotonic()
        try:
            await _seen_503(run)
            await _lasts(began)
        finally:
            await as_superuser(run, "ALTER ROLE intake_app CONNECTION LIMIT -1")
        run.healed()
    _clients_were_told(run)
    await _no_failures(run)


END_INTAKE_SESSIONS = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'intake_app'"


@scenario("F43")
async def postgres_is_silent(run: Run) -> None:
    """PostgreSQL says nothing to anybody: 503 within bounds, no attempt burned, everybody goes on afterwards."""
    async with run.under_load():
        await run.accepted(run.chance.randrange(2, run.leads // 2))
        for proxy in run.arena.hops("database"):
            proxy.mode = "blackhole"
        began = time.monotonic()
        await _seen_503(run)
        run.figures["first_503_s"] = round(time.monotonic() - began, 1)
        await _lasts(began)
        run.arena.heal()
        run.healed()
    _clients_were_told(run)
    await _no_failures(run)


async def as_superuser(run: Run, *statements: str) -> None:
    administrator = await asyncpg.connect(run.arena.postgres.admin_url)
    try:
        for statement in statements:
            await administrator.execute(statement)
    finally:
        await administrator.close()


async def _lasts(began: float) -> None:
    """Let an outage last: its length is the fault."""
    await asyncio.sleep(max(0.0, OUTAGE_S - (time.monotonic() - began)))


async def _seen_503(run: Run) -> None:
    async def refused() -> int:
        return run.scenario.log.statuses().get("503", 0)

    await eventually(refused, within=60, what="a client was told 503")


async def _no_failures(run: Run) -> None:
    """An outage is nobody's fault: no failure is counted against a message."""
    for database in _DATABASES.values():
        counted = await run.fetch_value(database, COUNTED, run.scenario.since)
        run.check(counted is None, f"failures were counted against messages in {database}: {counted}")


COUNTED = """
    SELECT string_agg(format('%s in %s: %s at %s', attempts, queue, error_type, error_place), ', ')
    FROM failures WHERE failed_at >= $1
"""
