"""One firm: three databases, a bag of messages, a relay, a store, and every step that the system can take."""

import random
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from io import BytesIO
from typing import Any
from uuid import UUID, uuid4

from assignment_worker import handlers as assignment_handlers
from assignment_worker.use_cases.choose import choose
from intake_api import handlers as intake_handlers
from intake_api.caller import Caller, Role
from intake_api.scanner import NoScanner
from intake_api.settings import IntakeSettings
from intake_api.submission import NewSubmission, Resume
from intake_api.use_cases.change_attorney import AttorneyDetails, add_attorney, change_attorney
from intake_api.use_cases.change_lead import LeadChange, change_lead
from intake_api.use_cases.claim_key import hash_key
from intake_api.use_cases.register_lead import Registered, register_lead
from mailer_worker.attempt import run_attempt
from mailer_worker.handlers import make_handlers as make_mailer_handlers
from mailer_worker.mail import MailWriter
from mailer_worker.settings import MailerSettings
from mailer_worker.use_cases.claim_deliveries import claim_deliveries
from mailer_worker.use_cases.settle_attempt import recover_lost
from pydantic import SecretStr
from service_chassis.database import Sessions, make_engine, ping
from service_chassis.hearing import QueueHearer, Subscription
from service_chassis.outbox import outbox
from service_chassis.prospect_link import LinkTokens
from service_chassis.settings import ConsumerGroup, DatabaseGroup
from shared_schemas.topology import MAILER_OUTREACH
from sqlalchemy import delete, select, text

from deploy.local.service_addresses import DATABASE_OF, DatabaseAddresses, ServiceName
from lead_model.broker import Bag
from lead_model.faults import Mortality, ProcessDiedError, mortal_sessions
from lead_model.ports import MemoryRelay, MemoryStore

LINK_KEY = "a-key-of-tests-that-is-long-enough"
PERSON = Caller(uuid4(), Role.ADMIN)
SERVICES: tuple[ServiceName, ...] = ("intake_api", "assignment_worker", "mailer_worker")
CLOCKS: dict[ServiceName, dict[str, tuple[str, ...]]] = {
    "intake_api": {
        "leads": ("created_at", "updated_at", "waiting_since", "outreach_next_at", "reached_at"),
        "submissions": ("received_at",),
        "idempotency_keys": ("lease_until", "created_at"),
        "repairs": ("last_at", "next_at"),
    },
    "assignment_worker": {
        "leads": ("registered_at", "waiting_since"),
        "attorneys": ("last_assigned_at",),
        "assignments": ("assigned_at",),
    },
    "mailer_worker": {"deliveries": ("first_queued_at", "next_attempt_at", "lease_until", "changed_at", "sent_at")},
}
"""What time passing means to each database: these columns grow older."""


@dataclass
class Attempted:
    """What the client knows of one key: what it sent, and the answer it got, if any."""

    key: str
    address: str
    answer: Registered | None = None


class World:
    """``run`` is the only way in for what may die: it gives None when the process died at the call asked for."""

    def __init__(self, addresses: dict[ServiceName, DatabaseAddresses]) -> None:
        self.mortality = Mortality()
        self.store, self.relay = MemoryStore(self.mortality), MemoryRelay(self.mortality)
        self._engines = {
            name: make_engine(DatabaseGroup(database_url=SecretStr(one.app_url)), "model")
            for name, one in addresses.items()
        }
        self.sessions: dict[ServiceName, Sessions] = {
            name: mortal_sessions(engine, self.mortality) for name, engine in self._engines.items()
        }
        self._owners = {
            name: make_engine(DatabaseGroup(database_url=SecretStr(one.owner_url)), "model").execution_options(
                isolation_level="AUTOCOMMIT"
            )
            for name, one in addresses.items()
        }
        self._intake = IntakeSettings.model_validate(
            {
                "environment": "test",
                "database_url": addresses["intake_api"].app_url,
                "amqp_url": "amqp://nowhere",
                "auth_secret": "a-secret-of-tests-that-is-long-enough",
                "link_key": LINK_KEY,
            }
        )
        self._mailer = MailerSettings.model_validate(
            {
                "environment": "test",
                "database_url": addresses["mailer_worker"].app_url,
                "amqp_url": "amqp://nowhere",
                "smtp_host": "nowhere",
                "from_mailbox": "Intake Desk <intake@firm.example>",
                "suppression_secret": "a-secret-of-tests-that-is-long-enough",
                "prospect_page": "https://firm.example/",
                "link_key": LINK_KEY,
            }
        )
        tokens = LinkTokens(self._mailer.link_key)
        self._writer = MailWriter("Intake Desk", "intake@firm.example", "Diaz & Ernst", "https://firm.example/", tokens)
        self.start_afresh()

    def start_afresh(self) -> None:
        """Forget everything outside the databases."""
        heard: dict[ServiceName, tuple[Subscription, ...]] = {
            "intake_api": intake_handlers.SUBSCRIPTIONS,
            "assignment_worker": assignment_handlers.subscriptions("model", lambda: None),
            "mailer_worker": (Subscription(MAILER_OUTREACH, make_mailer_handlers(self._mailer.suppression_key)),),
        }
        self.bag = Bag(
            self.mortality,
            {
                subscription.queue.name: QueueHearer(
                    subscription, self.sessions[name], ConsumerGroup(), partial(ping, self._engines[name]), _never
                )
                for name, subscriptions in heard.items()
                for subscription in subscriptions
            },
        )
        self.store.objects.clear()
        self.relay.sink.clear()
        self.relay.answer = "taken"
        self.attempted: list[Attempted] = []
        self.attorneys: list[UUID] = []
        self.reopened: set[UUID] = set()

    async def empty(self) -> None:
        """Empty the databases, as their owner."""
        for engine in self._owners.values():
            async with engine.begin() as connection:
                names = await connection.scalars(
                    text(
                        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
                    )
                )
                await connection.execute(text(f"TRUNCATE {', '.join(names)} CASCADE"))

    async def close(self) -> None:
        """Let go of the databases."""
        async with AsyncExitStack() as stack:
            for engine in (*self._engines.values(), *self._owners.values()):
                stack.push_async_callback(engine.dispose)

    async def run(self, step: Awaitable[Any], dies_at: int | None = None) -> Any:
        """Take a step as a process that may die in it; None when it did."""
        with self.mortality.dying_at(dies_at):
            try:
                return await step
            except ProcessDiedError:
                return None

    # --- what people do

    async def hire(self, count: int) -> None:
        """Add attorneys; the first has the smallest id, so that ties go the same way in every run."""
        for number in range(count):
            details = AttorneyDetails(name=f"Attorney {number}", email=f"attorney{number}@firm.example")
            self.attorneys.append((await add_attorney(self.sessions["intake_api"], details)).id)
        self.attorneys.sort()

    async def submit(self, attempted: Attempted) -> None:
        """Send what the client has under this key, for the first time or again."""
        content = attempted.key.encode()
        resume = Resume(BytesIO(content), len(content), sha256(content).hexdigest(), "application/pdf", "cv.pdf")
        submission = NewSubmission("Ada", "Byron", attempted.address, resume)
        answer = await register_lead(
            self.sessions["intake_api"], self.store, NoScanner(), self._intake, submission, hash_key(attempted.key)
        )
        self.mortality.call()
        first = attempted.answer or answer
        assert (answer.submission_id, answer.lead_id) == (first.submission_id, first.lead_id), "a retry differs"
        attempted.answer = first

    async def change(self, lead_id: UUID, change: LeadChange) -> None:
        """Have a person change a lead. Raises what the use case raises."""
        await change_lead(self.sessions["intake_api"], PERSON, lead_id, change)

    async def set_available(self, attorney_id: UUID, available: bool) -> None:
        """Let an attorney come or go."""
        await change_attorney(self.sessions["intake_api"], attorney_id, {"available": available})

    # --- what the system does

    async def relay_outbox(self, service: ServiceName) -> None:
        """Publish what a service has to say; the rows go when the broker has it all."""
        async with self.sessions[service].begin() as session:
            rows = (await session.execute(select(outbox).order_by(outbox.c.id))).all()
            for row in rows:
                self.mortality.call()
                self.bag.publish(row)
            await session.execute(delete(outbox).where(outbox.c.id.in_([row.id for row in rows])))

    async def choose(self) -> int:
        """One round of choosing; gives how many leads it moved or said something of."""
        async with self.sessions["assignment_worker"].begin() as session:
            return (await choose(session, "model", 200)).changed

    async def send_one(self) -> int:
        """One attempt at the oldest due delivery; gives how many there were (0 or 1)."""
        sessions = self.sessions["mailer_worker"]
        async with sessions.begin() as session:
            attempts = await claim_deliveries(session, self._writer, self._mailer, 1)
        for attempt in attempts:
            await run_attempt(attempt, sessions, self.relay, self._mailer)
        return len(attempts)

    async def recover(self) -> int:
        """Take back the attempts whose lease is over."""
        async with self.sessions["mailer_worker"].begin() as session:
            return await recover_lost(session, self._mailer)

    async def let_pass(self, seconds: float) -> None:
        """Let time pass: everything that has a time grows older."""
        for service, tables in CLOCKS.items():
            for table, columns in tables.items():
                moves = ", ".join(f"{column} = {column} - make_interval(secs => :seconds)" for column in columns)
                await self.sql(service, f"UPDATE {table} SET {moves}", seconds=seconds)  # noqa: S608 - our own names

    async def sql(self, service: ServiceName, statement: str, **values: Any) -> list[Any]:
        """Ask a database as its owner."""
        async with self._owners[service].begin() as connection:
            result = await connection.execute(text(statement), values)
            return list(result.all()) if result.returns_rows else []

    async def leads(self) -> list[Any]:
        """The leads as intake-api has them, oldest first."""
        return await self.sql("intake_api", "SELECT * FROM leads ORDER BY created_at")

    # --- until nothing is left to do

    async def settle(self, seed: int) -> None:
        """Let everything run that can run, with nobody dying and messages in an order of ``seed``."""
        chance = random.Random(seed)
        self.relay.answer = "taken"
        for _ in range(60):
            done = 0
            for service in DATABASE_OF:
                await self.relay_outbox(service)
            waiting = self.bag.waiting()
            chance.shuffle(waiting)
            for message in waiting:
                await self.bag.deliver(message)
            done += len(waiting) + await self.choose()
            await self.sql(
                "mailer_worker",
                "UPDATE deliveries SET lease_until = now() - interval '1 s' WHERE lease_until IS NOT NULL",
            )
            await self.sql(
                "mailer_worker",
                "UPDATE deliveries SET next_attempt_at = now() - interval '1 s' WHERE next_attempt_at IS NOT NULL",
            )
            done += await self.recover()
            while sent := await self.send_one():
                done += sent
            if not done:
                return
        raise AssertionError(f"it does not come to rest; waiting: {[one.type for one in self.bag.waiting()]}")


def _never() -> None:
    raise AssertionError("the database is taken for away")
