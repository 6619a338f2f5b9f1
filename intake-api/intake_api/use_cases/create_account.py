"""Create a staff account."""

from uuid import UUID, uuid4

from service_chassis.database import Sessions
from sqlalchemy.dialects.postgresql import insert

from intake_api.account_models import Account
from intake_api.caller import Role
from intake_api.passwords import Passwords


async def create_account(
    sessions: Sessions, *, email: str, password: str, role: str, attorney_id: UUID | None = None
) -> None:
    """Create the account, or give the one with this address the password and role; for development and tests.

    ``role`` is a `Role`; anything else is a ValueError.
    """
    password_hash = await Passwords(memory_kib=19_456, passes=2, at_once=1).hash(password)
    values = {"password_hash": password_hash, "role": Role(role), "attorney_id": attorney_id, "disabled_at": None}
    statement = insert(Account).values(id=uuid4(), email=email.strip().lower(), **values)
    async with sessions.begin() as session:
        await session.execute(statement.on_conflict_do_update(index_elements=["email"], set_=values))
