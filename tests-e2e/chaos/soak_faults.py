"""The faults of a soak. Each is planned from random numbers, says what it touches, and heals only what it broke.

One catalogue, a dozen lines a kind, and so longer than most files.
A fault has landed when it hit work: a trap that sprang, an attempt interrupted, leads on their way. Else it is void.
"""

import asyncio
import random
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import aio_pika
from e2e import evidence, roster
from e2e.eventually import PATIENCE, eventually

from chaos.arena import Arena
from chaos.fault_proxy import ACK, COMMIT, COMMITTED, DELIVER, MAIL_END, PUBLISH, FaultProxy, Mode, Side, Trap
from chaos.members import WORKERS, HopName, Kind
from chaos.run import Run
from chaos.scenarios.broker import has_alarm, watermark
from chaos.scenarios.outages import END_INTAKE_SESSIONS, END_SESSIONS, as_superuser
from chaos.scenarios.relay import is_bound, unbind, unroutable
from chaos.scenarios.seen import probe, unfinished
from chaos.scripted_smtp import STORED, Drop, Hang, Reply, Step
from deploy.local.service import Service


class Field(Protocol):
    """What a fault has in hand."""

    run: Run
    scripts: list[list[Step]]
    """Scripts for the mail of the next prospects, one each."""
    unbound: list[tuple[float, float]]
    """When a binding that one of two hearers needs was away: database time, seconds."""

    @property
    def arena(self) -> Arena: ...

    async def look(self, ask: Callable[[], Awaitable[int]]) -> int:
        """Ask until there is an answer: another fault may have hit what is asked."""


Body = Callable[[Field], Awaitable[bool]]


@dataclass(frozen=True)
class Fault:
    """One planned fault: its kind in the table, what exactly, and the parts that nobody else may touch meanwhile."""

    kind: str
    words: str
    touches: frozenset[str]
    body: Body
    """Gives whether it landed."""


Planner = Callable[[random.Random], Fault]

KINDS: tuple[Kind, ...] = ("intake-api", *WORKERS)
_SPRINGS_WITHIN = 10.0
_PUT = rb"PUT /"
_RCPT = rb"RCPT TO:"

_Mark = tuple[HopName, Side, bytes]
_DATABASE_MARKS: tuple[_Mark, ...] = (("database", "c2s", COMMIT), ("database", "s2c", COMMITTED))
_BROKER_MARKS: tuple[_Mark, ...] = (
    ("broker", "c2s", PUBLISH),
    ("broker", "s2c", ACK),
    ("broker", "c2s", ACK),
    ("broker", "s2c", DELIVER),
)
_MARKS: dict[Kind, tuple[_Mark, ...]] = {
    "intake-api": (*_DATABASE_MARKS, ("store", "c2s", _PUT)),
    "intake-worker": (*_DATABASE_MARKS, *_BROKER_MARKS),
    "assignment-worker": (*_DATABASE_MARKS, *_BROKER_MARKS),
    "mailer-worker": (
        *(*_DATABASE_MARKS, *_BROKER_MARKS),
        *(("mail", "c2s", _RCPT), ("mail", "c2s", MAIL_END), ("mail", "s2c", STORED)),
    ),
}
"""The bytes at which a process of a kind is between two steps."""

_REQUESTS: dict[HopName, bytes] = {"database": COMMIT, "broker": PUBLISH, "mail": MAIL_END, "store": _PUT}


async def _at_work(field: Field) -> int:
    """Requests without an answer, and leads that are not reached."""
    return field.run.scenario.log.in_flight + await field.look(lambda: unfinished(field.run))


async def _sprung(field: Field, trap: Trap) -> bool:
    """Wait for a trap a while, and take it away."""
    try:
        async with asyncio.timeout(_SPRINGS_WITHIN * PATIENCE):
            await trap.hit.wait()
    except TimeoutError:
        pass  # void: the caller says so
    finally:
        field.arena.lift(trap)
    return trap.at is not None


def _killed(kind: Kind) -> Planner:
    def plan(chance: random.Random) -> Fault:
        hop, side, pattern = chance.choice(_MARKS[kind])
        trap = Trap(side, pattern, "freeze", skip=chance.randrange(10))

        async def body(field: Field) -> bool:
            field.arena.lay(trap, hop, kind)
            if not await _sprung(field, trap):
                return False
            await field.arena.kill(field.arena.victim_of(trap))
            return True

        return Fault(f"kill -9 {kind}", f"at {hop} {side} {pattern[:12]!r}", frozenset({kind}), body)

    return plan


def _killed_at_any_instant(chance: random.Random) -> Fault:
    kind = chance.choice(KINDS)

    async def body(field: Field) -> bool:
        member = chance.choice(field.arena.of(kind))
        at_work = await _at_work(field)
        await field.arena.kill(member)
        return at_work > 0

    return Fault("kill -9 at any instant", kind, frozenset({kind}), body)


def _frozen(chance: random.Random) -> Fault:
    kind = chance.choice(KINDS)
    seconds = chance.uniform(1, 4) if kind == "intake-api" else chance.uniform(2, 12)

    async def body(field: Field) -> bool:
        member = chance.choice(field.arena.of(kind))
        member.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)  # the length of the freeze is the fault
            return await _at_work(field) > 0
        finally:
            member.signal(signal.SIGCONT)

    return Fault("SIGSTOP, SIGCONT", f"{kind} for {seconds:.1f} s", frozenset({kind}), body)


def _restarted(chance: random.Random) -> Fault:
    kind = chance.choice(KINDS)

    async def body(field: Field) -> bool:
        member = chance.choice(field.arena.of(kind))
        # Before its signal handler is there, SIGTERM ends any program.
        await eventually(lambda: probe([member], "/livez"), lambda codes: codes == [200], within=60, what="it lives")
        at_work = await _at_work(field)
        field.arena.hold(member.service)
        member.signal(signal.SIGTERM)

        async def status() -> int | None:
            return member.service.exit_status()

        try:
            code = await eventually(status, lambda seen: seen is not None, within=45, what=f"{member.name} has ended")
            field.run.check(code == 0, f"{member.name} ended with {code} after SIGTERM")
        finally:
            await asyncio.to_thread(member.service.start)
            field.arena.release(member.service)
        return at_work > 0

    return Fault("SIGTERM, restart", kind, frozenset({kind}), body)


def _broker_crashes(_chance: random.Random) -> Fault:
    async def body(field: Field) -> bool:
        at_work = await _at_work(field)
        await field.arena.kill_service(field.arena.rabbitmq)
        await _is_back(field, field.arena.rabbitmq)
        return at_work > 0

    return Fault("broker kill -9", "", frozenset({"broker"}), body)


def _broker_is_restarted(chance: random.Random) -> Fault:
    seconds = chance.uniform(1, 8)

    async def body(field: Field) -> bool:
        broker = field.arena.rabbitmq
        await field.arena.take_down(broker)
        try:
            await asyncio.sleep(seconds)  # the length of the outage is the fault
            return await _at_work(field) > 0
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
            return await _at_work(field) > 0
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


def _postgres_crashes(_chance: random.Random) -> Fault:
    async def body(field: Field) -> bool:
        at_work = await _at_work(field)
        await field.arena.kill_service(field.arena.postgres, signal.SIGQUIT)
        await _is_back(field, field.arena.postgres)
        return at_work > 0

    return Fault("PostgreSQL crash", "", frozenset({"postgres"}), body)


def _sessions_are_ended(_chance: random.Random) -> Fault:
    async def body(field: Field) -> bool:
        at_work = await _at_work(field)
        await as_superuser(field.run, END_SESSIONS)
        return at_work > 0

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


def _hops_fail(mode: Mode, kind_of_fault: str) -> Planner:
    def plan(chance: random.Random) -> Fault:
        kind = chance.choice(KINDS)
        hop = chance.choice(sorted({mark[0] for mark in _MARKS[kind]}))
        seconds, delay = chance.uniform(2, 10), chance.uniform(0.02, 0.3)

        async def body(field: Field) -> bool:
            proxies = field.arena.hops(hop, kind)
            if len(proxies) > 1 and chance.random() < 0.5:
                proxies = [chance.choice(proxies)]
            return await _fail(field, proxies, mode, seconds, delay)

        return Fault(kind_of_fault, f"{kind} {hop} for {seconds:.1f} s", frozenset({kind}), body)

    return plan


def _service_is_cut_off(chance: random.Random) -> Fault:
    kind = chance.choice(KINDS)
    seconds = chance.uniform(3, 10)

    async def body(field: Field) -> bool:
        proxies = [proxy for member in field.arena.of(kind) for proxy in member.hops.values()]
        return await _fail(field, proxies, "blackhole", seconds)

    return Fault("every hop silent", f"{kind} for {seconds:.1f} s", frozenset({kind}), body)


async def _fail(field: Field, proxies: Sequence[FaultProxy], mode: Mode, seconds: float, delay: float = 0.0) -> bool:
    """Let hops fail for a time; landed when somebody was connected or came, and leads were on their way."""
    seen = Trap("c2s", rb".", "notice")
    was_connected = any(proxy.connections for proxy in proxies)
    for proxy in proxies:
        proxy.set(seen)
        proxy.delay, proxy.mode = delay, mode
    try:
        await asyncio.sleep(seconds)  # the length of the failure is the fault
        at_work = await _at_work(field)
    finally:
        for proxy in proxies:
            proxy.lift(seen)
            proxy.mode = "pass"
    return at_work > 0 and (was_connected if mode == "cut" else seen.at is not None)


def _answer_is_lost(chance: random.Random) -> Fault:
    kind = chance.choice(KINDS)
    hop = chance.choice(sorted({mark[0] for mark in _MARKS[kind]}))
    trap = Trap("c2s", _REQUESTS[hop], "swallow_reply_then_cut", skip=chance.randrange(10))

    async def body(field: Field) -> bool:
        field.arena.lay(trap, hop, kind)
        return await _sprung(field, trap)

    return Fault("answer lost, then cut", f"{kind} {hop}", frozenset({kind}), body)


def _store_stalls(chance: random.Random) -> Fault:
    modes: tuple[Mode, ...] = ("blackhole", "cut")
    mode = chance.choice(modes)
    seconds = chance.uniform(2, 8)

    async def body(field: Field) -> bool:
        refused = field.run.scenario.log.statuses().get("503", 0)
        proxies = field.arena.hops("store", "intake-api")
        asked = Trap("c2s", _PUT, "notice")
        for proxy in proxies:
            proxy.set(asked)
        await _fail(field, proxies, mode, seconds)
        field.arena.lift(asked)
        return asked.at is not None or field.run.scenario.log.statuses().get("503", 0) > refused

    words = f"{'silent' if mode == 'blackhole' else 'refuses'} for {seconds:.1f} s"
    return Fault("object store away", words, frozenset({"intake-api"}), body)


def _mail_is_refused(chance: random.Random) -> Fault:
    choices: list[list[Step]] = [
        [Reply("rcpt", 450)] * 2,
        [Reply("rcpt", 421)],
        [Reply("data", 451)],
        [Reply("after_dot", 452)],
        [Reply("rcpt", 450), Reply("after_dot", 451)],
    ]
    scripts = chance.sample(choices, 3)
    gate: list[Step] = list(chance.sample([Reply("connect", 421), Reply("mail", 451)], 1))
    return _scripted("mail refused for now", scripts, gate)


def _mail_is_dropped(chance: random.Random) -> Fault:
    choices: list[list[Step]] = [[Drop("after_dot")], [Drop("data")], [Drop("rcpt")]]
    return _scripted("mail connection dropped", [[Drop("after_dot")], *chance.sample(choices, 2)])


def _mail_hangs(chance: random.Random) -> Fault:
    seconds = chance.uniform(3.5, 8)  # longer than MAILER_SMTP_DEADLINE
    choices: list[list[Step]] = [[Hang("rcpt", seconds)], [Hang("data", seconds)], [Hang("after_dot", seconds)]]
    return _scripted("mail server hangs", chance.sample(choices, 2))


def _scripted(kind: str, scripts: list[list[Step]], gate: Sequence[Step] = ()) -> Fault:
    async def body(field: Field) -> bool:
        used = field.arena.smtp.scripts_used
        field.arena.smtp.gate += gate
        field.scripts += scripts

        async def played() -> int:
            return field.arena.smtp.scripts_used - used

        try:
            await eventually(played, within=_SPRINGS_WITHIN, what="a script is played")
        except AssertionError:
            return False
        return True

    words = ", ".join(type(step).__name__.lower() + " at " + step.stage for script in scripts for step in script)
    return Fault(kind, words, frozenset({"mail"}), body)


def _nobody_takes_leads(chance: random.Random) -> Fault:
    seconds = chance.uniform(2, 8)

    async def body(field: Field) -> bool:
        async with _everybody_off(field):
            await asyncio.sleep(seconds)  # the length of the absence is the fault
            return await field.look(lambda: field.run.fetch_value("intake", _WAITING, field.run.scenario.since)) > 0

    return Fault("no attorney", f"{seconds:.1f} s", frozenset({"roster"}), body)


_WAITING = "SELECT count(*) FROM leads WHERE created_at >= $1 AND waiting_reason IS NOT NULL"


@asynccontextmanager
async def _everybody_off(field: Field) -> AsyncIterator[None]:
    """Nobody takes leads, whatever else goes on: each change is asked for until it is made."""

    async def change(attorney: str, *, available: bool) -> int:
        async with field.run.staff() as staff:
            await roster.change(staff, attorney, available=available)
        return 1

    async def listed() -> int:
        async with field.run.staff() as staff:
            before[:] = [one["id"] for one in await roster.attorneys(staff) if one["available"]]
        return len(before)

    before: list[str] = []
    await field.look(listed)
    try:
        for one in before:
            await field.look(partial(change, one, available=False))
        yield
    finally:
        for one in before:
            await field.look(partial(change, one, available=True))


def _poison(chance: random.Random) -> Fault:
    queue, type_ = chance.choice(
        (
            ("assignment.leads", "lead.registered.v1"),
            ("mailer.outreach", "lead.assigned.v1"),
            ("intake.lead-status", "lead.reached-out.v1"),
        )
    )
    body_of_message = chance.choice((b"{no json", b"{}", b"x" * 65536))

    async def body(field: Field) -> bool:
        message = aio_pika.Message(
            body_of_message,
            message_id=str(uuid.uuid4()),
            type=type_,
            app_id="chaos",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        field.run.poisoned.add(str(message.message_id))
        connection = await aio_pika.connect(field.run.stack.run["amqp_url"], timeout=10)
        async with connection:
            channel = await connection.channel()
            await channel.default_exchange.publish(message, queue)
        return True

    return Fault("poison", queue, frozenset({"broker"}), body)


async def _is_back(field: Field, service: Service) -> None:
    async def up() -> bool:
        return await asyncio.to_thread(lambda: service.exit_status() is None and service.is_ready())

    await eventually(up, within=90, what=f"{service.name} is back")


PLANNERS: tuple[Planner, ...] = (
    *(_killed(kind) for kind in KINDS),
    *(_killed_at_any_instant, _frozen, _restarted, _service_is_cut_off, _answer_is_lost),
    *(_hops_fail("cut", "hop cut"), _hops_fail("blackhole", "hop silent"), _hops_fail("latency", "hop slow")),
    *(_broker_crashes, _broker_is_restarted, _broker_is_short_of_memory, _binding_is_gone, _poison),
    *(_postgres_crashes, _sessions_are_ended, _connections_are_used_up),
    *(_store_stalls, _mail_is_refused, _mail_is_dropped, _mail_hangs, _nobody_takes_leads),
)
