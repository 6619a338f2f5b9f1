"""Accounts of every role for tests, logged in."""

from dataclasses import dataclass
from uuid import UUID, uuid4

from intake_api.use_cases.create_account import create_account

from .conftest import Intake

PASSWORD = "seven lamps by the canal"


@dataclass(frozen=True)
class Login:
    """An account and what its login gave."""

    account: UUID
    email: str
    headers: dict[str, str]
    refresh: str


async def make_account(intake: Intake, role: str, *, attorney: str | None = None) -> Login:
    """Make an account of this role and log it in."""
    email = f"{role}.{uuid4().hex[:8]}@firm.test"
    await create_account(
        intake.sessions, email=email, password=PASSWORD, role=role, attorney_id=UUID(attorney) if attorney else None
    )
    return await log_in(intake, email)


async def log_in(intake: Intake, email: str) -> Login:
    """Log an account in once more."""
    answer = await intake.client.post("/api/v1/auth/token", data={"username": email, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    account = await intake.database.fetchval("SELECT id FROM accounts WHERE email = $1", email)
    headers = {"Authorization": f"Bearer {body['access_token']}"}
    return Login(UUID(str(account)), email, headers, body["refresh_token"])
