"""Accounts of every role for tests."""

from uuid import UUID, uuid4

from intake_api.use_cases.create_account import create_account

from .conftest import Intake

PASSWORD = "seven lamps by the canal"


async def log_in(intake: Intake, role: str, *, attorney: str | None = None) -> dict[str, str]:
    """Make an account of this role and log it in: the headers of its requests."""
    email = f"{role}.{uuid4().hex[:8]}@firm.test"
    await create_account(
        intake.sessions, email=email, password=PASSWORD, role=role, attorney_id=UUID(attorney) if attorney else None
    )
    answer = await intake.client.post("/api/v1/auth/token", data={"username": email, "password": PASSWORD})
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}
