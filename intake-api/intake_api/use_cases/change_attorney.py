"""Attorneys: identity and availability are owned here; every change is said to the roster by version."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from service_chassis import outbox
from service_chassis.database import Sessions
from shared_schemas.events import Absence, AttorneyChanged
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from intake_api import repository
from intake_api.exceptions import AttorneyExistsError
from intake_api.models import Attorney


@dataclass(frozen=True)
class AttorneyDetails:
    """A new attorney. ``capacity`` None means no limit."""

    name: str
    email: str
    available: bool = True
    capacity: int | None = None
    practice_areas: Sequence[str] = ()
    languages: Sequence[str] = ()
    absences: Sequence[dict[str, Any]] = field(default_factory=tuple)


async def add_attorney(sessions: Sessions, details: AttorneyDetails) -> Attorney:
    """Add an attorney and say so. Raises AttorneyExistsError when the address is another attorney's."""
    attorney = Attorney(
        id=uuid4(),
        version=1,
        name=details.name,
        email=details.email.lower(),
        available=details.available,
        capacity=details.capacity,
        practice_areas=list(details.practice_areas),
        languages=list(details.languages),
        absences=list(details.absences),
    )
    try:
        async with sessions.begin() as session:
            session.add(attorney)
            await session.flush()
            await outbox.add(session, changed(attorney))
    except IntegrityError as error:
        raise AttorneyExistsError from error
    return attorney


async def change_attorney(sessions: Sessions, attorney_id: UUID, changes: dict[str, Any]) -> Attorney:
    """Change the given columns of an attorney and say so; nothing is said when nothing changes.

    Raises AttorneyNotFoundError, AttorneyExistsError.
    """
    try:
        async with sessions.begin() as session:
            attorney = await repository.find_attorney(session, attorney_id, lock=True)
            before = {name: getattr(attorney, name) for name in changes}
            if before != changes:
                for name, value in changes.items():
                    setattr(attorney, name, value)
                attorney.version += 1
                await session.flush()
                await outbox.add(session, changed(attorney))
    except IntegrityError as error:
        raise AttorneyExistsError from error
    return attorney


async def restate_attorneys(sessions: Sessions) -> int:
    """Say every attorney again, at its version: a roster that missed a change is whole again. Returns how many."""
    async with sessions.begin() as session:
        attorneys = (await session.scalars(select(Attorney))).all()
        await outbox.add_all(session, [(changed(attorney), None) for attorney in attorneys])
    return len(attorneys)


async def find_by_email(session: AsyncSession, email: str) -> Attorney | None:
    """The attorney with this address, if there is one."""
    found: Attorney | None = await session.scalar(select(Attorney).where(Attorney.email == email.lower()))
    return found


def changed(attorney: Attorney) -> AttorneyChanged:
    """The event that states an attorney as of its version."""
    return AttorneyChanged(
        attorney_id=attorney.id,
        version=attorney.version,
        name=attorney.name,
        email=attorney.email,
        available=attorney.available,
        capacity=attorney.capacity,
        practice_areas=tuple(attorney.practice_areas),
        languages=tuple(attorney.languages),
        absences=tuple(Absence.model_validate(absence) for absence in attorney.absences),
    )
