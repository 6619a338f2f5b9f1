"""Legal holds: a lead that must be kept is neither erased on request nor by retention."""

from uuid import UUID

from service_chassis.database import Sessions
from sqlalchemy import delete, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from intake_api import repository
from intake_api.erasure_models import LegalHold


async def place_hold(sessions: Sessions, lead_id: UUID, reference: str, *, actor: str) -> LegalHold:
    """Hold a lead, or change the reference of its hold. Raises LeadNotFoundError."""
    said = {"reference": reference, "placed_by": actor}
    statement = insert(LegalHold).values(lead_id=lead_id, **said)
    async with sessions.begin() as session:
        await repository.lock_lead_and_address(session, lead_id)
        await session.execute(
            statement.on_conflict_do_update(index_elements=["lead_id"], set_={**said, "placed_at": func.now()})
        )
        return await session.get_one(LegalHold, lead_id)


async def release_hold(sessions: Sessions, lead_id: UUID) -> None:
    """End a hold, if there is one. Raises LeadNotFoundError."""
    async with sessions.begin() as session:
        await repository.lock_lead_and_address(session, lead_id)
        await session.execute(delete(LegalHold).where(LegalHold.lead_id == lead_id))


async def copy_hold(session: AsyncSession, source_id: UUID, target_id: UUID) -> None:
    """Hold the lead that gets a held one's submissions, unless it is held itself: what must be kept is there now."""
    columns = ("reference", "placed_by", "placed_at")
    held = select(literal(target_id), *(getattr(LegalHold, name) for name in columns))
    copied = insert(LegalHold).from_select(["lead_id", *columns], held.where(LegalHold.lead_id == source_id))
    await session.execute(copied.on_conflict_do_nothing(index_elements=["lead_id"]))
