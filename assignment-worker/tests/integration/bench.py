"""An assignment-worker without its broker: events go straight to the handlers, what it says is read from the outbox."""

import itertools
import json
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from assignment_worker import handlers, repository
from assignment_worker.models import Assignment, Attorney, Lead
from assignment_worker.use_cases.choose import Round, choose
from service_chassis.database import Sessions
from service_chassis.envelope import Envelope
from service_chassis.outbox import outbox
from service_chassis.telemetry import traced
from shared_schemas.events import (
    EVENTS,
    AttorneyChanged,
    AttorneyRef,
    Event,
    LeadAssigned,
    LeadClosed,
    LeadErased,
    LeadReassigned,
    LeadRegistered,
    LeadReopened,
    LeadWaiting,
)
from sqlalchemy import delete, func, select

from deploy.local.service_addresses import DatabaseAddresses

TYPES = {event.type: event for event in EVENTS}
MORNING = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


class Bench:
    """One database and everything a test says to the service and asks of it."""

    def __init__(self, sessions: Sessions, new_sessions: Callable[[], Sessions], addresses: DatabaseAddresses) -> None:
        self.sessions = sessions
        self.new_sessions = new_sessions
        self.app_url, self.owner_url = addresses.app_url, addresses.owner_url
        self._minutes = itertools.count()
        self._versions: defaultdict[UUID, itertools.count[int]] = defaultdict(lambda: itertools.count(1))
        self._handlers = {
            event: handler
            for subscription in handlers.subscriptions("test-worker", lambda: None)
            for event, handler in subscription.handlers.items()
        }

    async def hear(self, *events: Event, sessions: Sessions | None = None) -> None:
        """Handle each event in a transaction of its own, as the chassis does."""
        for event in events:
            envelope = Envelope("test", str(uuid4()), True, event.type, None, None, 0, False, False, b"")
            with traced(None):
                async with (sessions or self.sessions).begin() as session:
                    await self._handlers[type(event)](session, event, envelope)

    async def choose(self, worker: str = "test-worker", limit: int = 200) -> Round:
        """One round of choosing."""
        async with self.sessions.begin() as session:
            return await choose(session, worker, limit)

    async def settle(self) -> None:
        """Choose until a round reads nothing, which must come about soon."""
        for _ in range(20):
            if not (await self.choose()).read:
                return
        pytest.fail("rounds of choosing go on and on")

    async def attorney(self, attorney_id: UUID | None = None, **fields: Any) -> UUID:
        """Tell the service of an attorney (its next version), and return the id."""
        attorney_id = attorney_id or uuid4()
        await self.hear(self.attorney_changed(attorney_id, **fields))
        return attorney_id

    def attorney_changed(self, attorney_id: UUID, **fields: Any) -> AttorneyChanged:
        version = fields.pop("version", None) or next(self._versions[attorney_id])
        values: dict[str, Any] = {"name": "Grace Hopper", "email": "grace@firm.example", "available": True} | fields
        return AttorneyChanged(attorney_id=attorney_id, version=version, **values)

    def registered(self, lead_id: UUID | None = None, **fields: Any) -> LeadRegistered:
        return LeadRegistered(**self._state(lead_id, 0, fields))

    def reassigned(self, lead_id: UUID, epoch: int, **fields: Any) -> LeadReassigned:
        return LeadReassigned(**self._state(lead_id, epoch, fields))

    def reopened(self, lead_id: UUID, epoch: int, **fields: Any) -> LeadReopened:
        return LeadReopened(**self._state(lead_id, epoch, fields))

    def closed(self, lead_id: UUID, epoch: int, decision_seen: int = 0) -> LeadClosed:
        return LeadClosed(lead_id=lead_id, epoch=epoch, decision_seen=decision_seen)

    def erased(self, lead_id: UUID, epoch: int) -> LeadErased:
        return LeadErased(lead_id=lead_id, epoch=epoch)

    def _state(self, lead_id: UUID | None, epoch: int, fields: dict[str, Any]) -> dict[str, Any]:
        return {
            "lead_id": lead_id or uuid4(),
            "epoch": epoch,
            "first_name": "Ada",
            "last_name": "Byron",
            "email": "ada@prospect.example",
            "registered_at": MORNING + timedelta(minutes=next(self._minutes)),
        } | fields

    def person(self, attorney_id: UUID) -> AttorneyRef:
        return AttorneyRef(id=attorney_id, name="Grace Hopper", email="grace@firm.example")

    async def said(self) -> list[Any]:
        """What the service has said since it was last asked, oldest first."""
        async with self.sessions.begin() as session:
            rows = (await session.execute(delete(outbox).returning(outbox.c.id, outbox.c.type, outbox.c.body))).all()
        return [TYPES[kind].model_validate_json(body) for _, kind, body in sorted(rows)]

    async def decisions(self) -> list[tuple[str, int, int]]:
        """The LeadAssigned and LeadWaiting said since last asked, as (class name, epoch, decision)."""
        said = [event for event in await self.said() if isinstance(event, LeadAssigned | LeadWaiting)]
        return [(type(event).__name__, event.epoch, event.decision) for event in said]

    async def lead(self, lead_id: UUID) -> Lead:
        """The row of a lead that must be known."""
        async with self.sessions() as session:
            return await session.get_one(Lead, lead_id)

    async def described(self, lead_id: UUID) -> dict[str, Any]:
        """What the ops port would tell of a lead that must be known."""
        told = await repository.describe_lead(self.sessions, lead_id)
        assert told is not None
        return told

    async def state(self, lead_id: UUID) -> tuple[str, int, UUID | None]:
        """(state, epoch, owner) of a lead that must be known."""
        lead = await self.lead(lead_id)
        return lead.state, lead.epoch, lead.attorney_id

    async def open_leads(self) -> dict[UUID, int]:
        """The counters; fails unless each equals the active assignments and the leads of its attorney."""
        async with self.sessions() as session:
            counters = {row.id: row.open_leads for row in await session.scalars(select(Attorney))}
            active = await self._per_attorney(session, Assignment.attorney_id, Assignment.active)
            owned = await self._per_attorney(session, Lead.attorney_id, Lead.state == "assigned")
        assert {key: value for key, value in counters.items() if value} == active == owned
        return counters

    async def _per_attorney(self, session: Any, column: Any, condition: Any) -> dict[UUID, int]:
        rows = await session.execute(select(column, func.count()).where(condition).group_by(column))
        return {key: count for key, count in rows}  # noqa: C416 - rows are not pairs to the type checker

    async def assignments(self) -> list[Assignment]:
        async with self.sessions() as session:
            return list(await session.scalars(select(Assignment).order_by(Assignment.assigned_at)))

    async def everything(self) -> str:
        """Every row of every table as text, to look for what must not be there."""
        async with self.sessions() as session:
            found: list[Any] = []
            for table in (Lead.__table__, Assignment.__table__, outbox):
                found += [list(map(str, row)) for row in await session.execute(select(table))]
        return json.dumps(found)
