"""Create a staff account."""

import asyncio
from uuid import UUID, uuid4

from service_chassis.database import Sessions
from sqlalchemy.dialects.postgresql import insert

from intake_api.account_models import Account
from intake_api.use_cases.authenticate import hasher

ROLES = ("admin", "intake", "attorney", "operator")


async def create_account(
    sessions: Sessions, *, email: str, password: str, role: str, attorney_id: UUID | None = None
) -> None:
    """Create the account, or give the one with this address the password and role.

    ``role`` is one of `ROLES`; anything else is a ValueError.
    """
    if role not in ROLES:
        raise ValueError(f"role must be one of {', '.join(ROLES)}")
    password_hash = await asyncio.to_thread(hasher.hash, password)
    values = {"password_hash": password_hash, "role": role, "attorney_id": attorney_id}
    statement = insert(Account).values(id=uuid4(), email=email.strip().lower(), **values)
    async with sessions.begin() as session:
        await session.execute(statement.on_conflict_do_update(index_elements=["email"], set_=values))
