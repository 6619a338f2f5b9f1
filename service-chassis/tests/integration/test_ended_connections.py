"""Every face that a connection ended by the server shows is a dependency away; timing decides which one it is."""

from collections import Counter

from service_chassis.transient import is_dependency_away
from sqlalchemy import text

from .bench import Bench

TIMES = 40


async def test_a_connection_ended_by_the_server_is_away_whatever_the_driver_calls_it(bench: Bench) -> None:
    seen: Counter[tuple[str, bool]] = Counter()
    async with bench.as_admin_many() as end:
        for _ in range(TIMES):
            try:
                async with bench.sessions.begin() as session:
                    pid = (await session.execute(text("SELECT pg_backend_pid()"))).scalar_one()
                    await end(f"SELECT pg_terminate_backend({pid})")
                    await session.execute(text("SELECT 1"))
            except Exception as error:
                seen[type(error).__name__, is_dependency_away(error)] += 1
    assert seen.total() == TIMES, "a connection outlived its end"
    assert {away for _, away in seen} == {True}, seen
