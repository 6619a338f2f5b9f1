"""Forget Idempotency-Keys whose lifetime is over."""

from service_chassis.database import Sessions
from sqlalchemy import delete, func

from intake_api.models import IdempotencyKey


async def forget_keys(sessions: Sessions, lifetime: float) -> None:
    """Delete keys older than ``lifetime`` seconds, by the database's clock."""
    async with sessions.begin() as session:
        await session.execute(
            delete(IdempotencyKey).where(
                IdempotencyKey.created_at < func.now() - func.make_interval(0, 0, 0, 0, 0, 0, lifetime)
            )
        )
