"""Apply AttorneyChanged: keep the roster a replica of intake-api's attorneys, by version."""

from shared_schemas.events import AttorneyChanged
from sqlalchemy.ext.asyncio import AsyncSession

from assignment_worker import repository
from assignment_worker.models import Attorney


async def apply_attorney(session: AsyncSession, event: AttorneyChanged) -> None:
    """Take over the attorney if the version is greater than the one held, and wake the choosing loops.

    Their open leads are ours to count and stay as they are; an equal or older version has no effect.
    """
    await repository.take_turn(session)
    attorney = await session.get(Attorney, event.attorney_id)
    if attorney is None:
        attorney = Attorney(id=event.attorney_id, open_leads=0, last_assigned_at=None)
        session.add(attorney)
    elif attorney.version >= event.version:
        return
    attorney.version = event.version
    attorney.name = event.name
    attorney.email = event.email
    attorney.available = event.available
    attorney.capacity = event.capacity
    attorney.practice_areas = list(event.practice_areas)
    attorney.languages = list(event.languages)
    attorney.absences = [absence.model_dump(mode="json") for absence in event.absences]
    await repository.wake_choosers(session)
