"""A broker that crashes, is restarted, is short of memory, forgets a binding, or has no room in a queue."""

import asyncio
import random

from e2e import evidence
from e2e.eventually import eventually

from chaos.members import WORKERS, Kind
from chaos.scenarios.broker import has_alarm, watermark
from chaos.scenarios.relay import is_bound, unbind, unroutable
from chaos.soak.fault import LANDS_WITHIN, Fault, Field, Planner, at_work, is_back
from chaos.soak.process_faults import away


def _broker_crashes(_chance: random.Random) -> Fault:
    async def body(field: Field) -> bool:
        busy = await at_work(field)
        await field.arena.kill_service(field.arena.rabbitmq)
        await is_back(field.arena.rabbitmq)
        return busy > 0

    return Fault("broker kill -9", "", frozenset({"broker"}), body)


def _broker_is_restarted(chance: random.Random) -> Fault:
    seconds = chance.uniform(1, 8)

    async def body(field: Field) -> bool:
        broker = field.arena.rabbitmq
        await field.arena.take_down(broker)
        try:
            await asyncio.sleep(seconds)  # the length of the outage is the fault
            return await at_work(field) > 0
        finally:
            await field.arena.bring_up(broker)

    return Fault("broker restart", f"down for {seconds:.1f} s", frozenset({"broker"}), body)


def _broker_is_short_of_memory(chance: random.Random) -> Fault:
    seconds = chance.uniform(3, 8)

    async def body(field: Field) -> bool:
        await watermark(field.run, "absolute", "1")
        try:
            await eventually(lambda: has_alarm(field.run), within=30, what="the alarm is on")
            await asyncio.sleep(seconds)  # the length of the alarm is the fault
            return await at_work(field) > 0
        finally:
            await watermark(field.run, "0.4")

    return Fault("memory alarm", f"{seconds:.1f} s", frozenset({"broker"}), body)


def _binding_is_gone(chance: random.Random) -> Fault:
    queue, key = chance.choice(
        (
            ("assignment.leads", "lead.registered"),
            ("intake.lead-status", "lead.reached-out"),
            ("intake.lead-status", "lead.assigned"),
            ("mailer.outreach", "lead.assigned"),
        )
    )
    has_other_hearer = key == "lead.assigned"
    rounds = chance.randrange(20, 60)

    async def body(field: Field) -> bool:
        began = (await evidence.database_time(field.run.stack)).timestamp()
        before = await field.look(lambda: unroutable(field.run))
        for _ in range(rounds):  # a dozen relays declare it again every few seconds
            await unbind(field.run, queue, key)
            await asyncio.sleep(0.05)
        await eventually(lambda: is_bound(field.run, queue, key), within=75, what=f"{queue} is bound again")
        if not has_other_hearer:
            return await field.look(lambda: unroutable(field.run)) > before
        ended = (await evidence.database_time(field.run.stack)).timestamp()
        field.unbound.append((began, ended))
        return await field.look(lambda: field.run.fetch_value("assignment", _DECIDED, began, ended)) > 0

    # It asks every worker and the database, so nobody else may be at them.
    touches = frozenset({"broker", "postgres", *WORKERS})
    return Fault("binding deleted", f"{queue} from {key}", touches, body)


_DECIDED = """
    SELECT count(*) FROM assignments WHERE assigned_at BETWEEN to_timestamp($1::float8) AND to_timestamp($2::float8)
"""


def _queue_is_full(chance: random.Random) -> Fault:
    queue, hearer, sayer = chance.choice(_FILLED)
    room = chance.randrange(4)
    seconds = chance.uniform(0, 4)

    async def body(field: Field) -> bool:
        async def refused() -> int:
            rows: int = await field.run.fetch_value(sayer, _REFUSED)
            return rows

        async def lifted() -> int:
            status = await asyncio.to_thread(management.call, "DELETE", _POLICY)
            assert status in (204, 404), f"taking the policy away was answered {status}"
            return status

        management = field.arena.rabbitmq.management
        policy = {"pattern": f"^{queue}$".replace(".", "\\."), "definition": {"max-length": room}, "apply-to": "queues"}
        async with away(field, field.arena.of(hearer)):
            try:
                status = await asyncio.to_thread(management.call, "PUT", _POLICY, policy)
                field.run.check(status in (201, 204), f"the policy was answered {status}")
                await eventually(refused, within=2 * LANDS_WITHIN, what="the relay was refused")
                await asyncio.sleep(seconds)  # how long there is no room is the fault
            except AssertionError:
                return False
            finally:
                await field.look(lifted)
        return True

    return Fault("queue full", f"{queue} at {room} for {seconds:.1f} s", frozenset({"broker", hearer}), body)


_FILLED: tuple[tuple[str, Kind, str], ...] = (
    ("assignment.leads", "assignment-worker", "intake"),
    ("mailer.outreach", "mailer-worker", "assignment"),
)
"""A queue that fills while its hearer is away, that hearer, and the database whose relay is refused then."""
_POLICY = "/api/policies/%2F/soak"
_REFUSED = "SELECT count(*) FROM outbox WHERE error = 'DeliveryError'"

PLANNERS: tuple[Planner, ...] = (
    *(_broker_crashes, _broker_is_restarted, _broker_is_short_of_memory, _binding_is_gone, _queue_is_full),
)
