"""Legal holds: a lead that must be kept is neither erased on request nor by retention."""

from uuid import UUID

from service_chassis.database import Sessions
from sqlalchemy import delete, func
from sqlalchemy.dialects.postgresql import insert

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
