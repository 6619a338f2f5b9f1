"""A mailer without its broker: events go to the handlers, what it says is read from its outbox."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from mailer_worker.attempt import run_attempt
from mailer_worker.handlers import make_handlers
from mailer_worker.mail import MailWriter
from mailer_worker.mail_sender import MailSender, Outcome
from mailer_worker.models import Delivery
from mailer_worker.sender import Sender
from mailer_worker.settings import MailerSettings
from mailer_worker.smtp import SmtpSender
from mailer_worker.use_cases.claim_deliveries import Attempt, claim_deliveries
from mailer_worker.use_cases.settle_attempt import recover_lost
from service_chassis.database import Sessions
from service_chassis.envelope import Envelope
from service_chassis.outbox import outbox
from service_chassis.prospect_link import LinkTokens
from service_chassis.telemetry import traced
from shared_schemas.events import (
    EVENTS,
    AttorneyRef,
    Event,
    Explanation,
    LeadAssigned,
    LeadErased,
    OutreachCancelled,
    OutreachRequested,
    ProspectLinkRequested,
)
from sqlalchemy import delete, select, text

TYPES = {event.type: event for event in EVENTS}
EXPLANATION = Explanation(rule="test", chosen_by="policy")
DORA = AttorneyRef(id=uuid4(), name="Dora Diaz", email="dora@firm.example")
EMIL = AttorneyRef(id=uuid4(), name="Emil Ernst", email="emil@firm.example")
TRACE = "0af7651916cd43dd8448eb211c80319c"


class Bench:
    """One database, one relay, and everything that a test says to the mailer or asks of it."""

    def __init__(self, sessions: Sessions, settings: MailerSettings) -> None:
        self.sessions = sessions
        self.settings = settings
        self.tokens = LinkTokens(settings.link_key)
        self.writer = MailWriter(
            settings.from_name, settings.from_address, settings.firm_name, settings.prospect_page, self.tokens
        )
        self.smtp: MailSender = SmtpSender(settings)
        self.lead_id = uuid4()
        self.address = f"{self.lead_id.hex}@prospect.example"

    def change(self, **settings: Any) -> None:
        self.settings = self.settings.model_copy(update=settings)
        self.smtp = SmtpSender(self.settings)

    def assigned(self, epoch: int = 0, decision: int = 1, **fields: Any) -> LeadAssigned:
        values = {
            "lead_id": self.lead_id,
            "epoch": epoch,
            "decision": decision,
            "outreach": True,
            "first_name": "Ada",
            "last_name": "Byron",
            "email": self.address,
            "attorney": DORA,
            "explanation": EXPLANATION,
            "assigned_at": "2026-03-02T08:00:00Z",
        }
        return LeadAssigned.model_validate(values | fields)

    def requested(self, epoch: int = 0, **fields: Any) -> OutreachRequested:
        values = {
            "request_id": uuid4(),
            "lead_id": self.lead_id,
            "epoch": epoch,
            "kind": "welcome",
            "first_name": "Ada",
            "last_name": "Byron",
            "email": self.address,
            "attorney": DORA,
        }
        return OutreachRequested.model_validate(values | fields)

    def cancelled(self, epoch: int = 0) -> OutreachCancelled:
        return OutreachCancelled(lead_id=self.lead_id, epoch=epoch, kind="welcome")

    def link_requested(self, lifetime: float = 3600, **fields: Any) -> ProspectLinkRequested:
        values = {
            "link_id": uuid4(),
            "lead_id": self.lead_id,
            "email": self.address,
            "expires_at": datetime.now(UTC) + timedelta(seconds=lifetime),
        }
        return ProspectLinkRequested.model_validate(values | fields)

    def erased(self, epoch: int = 1) -> LeadErased:
        return LeadErased(lead_id=self.lead_id, epoch=epoch)

    async def hear(self, *events: Event) -> None:
        """Handle each event in a transaction of its own, as the chassis does."""
        for event in events:
            envelope = Envelope("test", str(uuid4()), True, event.type, TRACE, None, 0, False, False, b"")
            with traced(TRACE):
                async with self.sessions.begin() as session:
                    await make_handlers(self.settings.suppression_key)[type(event)](session, event, envelope)

    async def claim(self, limit: int = 10) -> list[Attempt]:
        async with self.sessions.begin() as session:
            return await claim_deliveries(session, self.writer, self.settings, limit)

    async def run(self, attempt: Attempt) -> Outcome:
        return await run_attempt(attempt, self.sessions, self.smtp, self.settings)

    async def send_due(self) -> list[Outcome]:
        """One attempt at everything that is due."""
        return [await self.run(attempt) for attempt in await self.claim()]

    async def recover(self) -> int:
        async with self.sessions.begin() as session:
            return await recover_lost(session, self.settings)

    async def said(self) -> list[Any]:
        """What the mailer has said since this was last asked."""
        async with self.sessions.begin() as session:
            rows = (await session.execute(select(outbox).order_by(outbox.c.id))).all()
            await session.execute(delete(outbox))
        return [TYPES[row.type].model_validate(json.loads(row.body)) for row in rows]

    async def delivery(self) -> Delivery:
        (found,) = await self.deliveries()
        return found

    async def deliveries(self, lead_id: UUID | None = None) -> list[Delivery]:
        async with self.sessions() as session:
            statement = (
                select(Delivery).where(Delivery.lead_id == (lead_id or self.lead_id)).order_by(Delivery.sequence)
            )
            return list(await session.scalars(statement))

    async def sql(self, statement: str, **values: Any) -> None:
        async with self.sessions.begin() as session:
            await session.execute(text(statement), values)

    async def make_due(self) -> None:
        await self.sql("UPDATE deliveries SET next_attempt_at = now() - interval '1 second' WHERE state = 'deferred'")

    async def end_leases(self) -> None:
        await self.sql("UPDATE deliveries SET lease_until = now() - interval '1 second' WHERE lease_until IS NOT NULL")

    async def everything(self) -> str:
        """Every row of every table, as text."""
        async with self.sessions() as session:
            names = await session.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
            texts = [
                str((await session.execute(text(f"SELECT t::text, * FROM {name} t"))).all())  # noqa: S608 - our own names
                for name in names.all()
            ]
        return "\n".join(texts)

    @asynccontextmanager
    async def sending(self, count: int = 1) -> AsyncIterator[list[Sender]]:
        """Senders at work, stopped in order at the end."""
        stop = asyncio.Event()
        senders = [Sender(self.sessions, SmtpSender(self.settings), self.writer, self.settings) for _ in range(count)]
        tasks = [asyncio.create_task(sender.run(stop)) for sender in senders]
        try:
            yield senders
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    async def until(
        self, holds: Callable[[list[Delivery]], bool], *, lead_id: UUID | None = None, seconds: float = 15
    ) -> list[Delivery]:
        """Wait until something holds of a lead's deliveries; fail with what was last seen."""
        deadline = time.monotonic() + seconds
        while True:
            found = await self.deliveries(lead_id)
            if holds(found):
                return found
            assert time.monotonic() < deadline, [(one.state, one.reason, one.attempt) for one in found]
            await asyncio.sleep(0.02)
