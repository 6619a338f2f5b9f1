"""Forget dead letters, bodies and all, when nobody can want them any more."""

from service_chassis.database import Sessions
from sqlalchemy import delete, func

from intake_api.models import DeadLetter


async def forget_dead_letters(sessions: Sessions, days: int) -> None:
    """Delete dead letters whose last failure is older than ``days``, by the database's clock."""
    async with sessions.begin() as session:
        await session.execute(
            delete(DeadLetter).where(DeadLetter.last_at < func.now() - func.make_interval(0, 0, 0, days))
        )
