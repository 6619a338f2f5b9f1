"""A PostgreSQL that crashes, ends its sessions, or has no connection left."""

import asyncio
import random
import signal

from chaos.scenarios.outages import END_INTAKE_SESSIONS, END_SESSIONS, as_superuser
from chaos.soak.fault import Fault, Field, Planner, at_work, is_back


def _postgres_crashes(_chance: random.Random) -> Fault:
    async def body(field: Field) -> bool:
        busy = await at_work(field)
        await field.arena.kill_service(field.arena.postgres, signal.SIGQUIT)
        await is_back(field.arena.postgres)
        return busy > 0

    return Fault("PostgreSQL crash", "", frozenset({"postgres"}), body)


def _sessions_are_ended(_chance: random.Random) -> Fault:
    async def body(field: Field) -> bool:
        busy = await at_work(field)
        await as_superuser(field.run, END_SESSIONS)
        return busy > 0

    return Fault("PostgreSQL sessions ended", "", frozenset({"postgres"}), body)


def _connections_are_used_up(chance: random.Random) -> Fault:
    seconds = chance.uniform(1, 5)

    async def body(field: Field) -> bool:
        refused = field.run.scenario.log.statuses().get("503", 0)
        await as_superuser(field.run, "ALTER ROLE intake_app CONNECTION LIMIT 0", END_INTAKE_SESSIONS)
        try:
            await asyncio.sleep(seconds)  # the length of the shortage is the fault
        finally:
            await as_superuser(field.run, "ALTER ROLE intake_app CONNECTION LIMIT -1")
        return field.run.scenario.log.statuses().get("503", 0) > refused

    return Fault("no PostgreSQL connection left", f"{seconds:.1f} s", frozenset({"postgres"}), body)


PLANNERS: tuple[Planner, ...] = (_postgres_crashes, _sessions_are_ended, _connections_are_used_up)
