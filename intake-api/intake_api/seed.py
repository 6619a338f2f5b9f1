"""Demo data for development: attorneys through the same use case as POST /attorneys, and an admin account."""

import argparse
import asyncio
import os
import sys

from service_chassis.database import make_engine, make_sessions
from service_chassis.settings import load

from intake_api.settings import IntakeSettings
from intake_api.use_cases.change_attorney import AttorneyDetails, add_attorney, find_by_email
from intake_api.use_cases.create_account import create_account

DEMO_ATTORNEYS = (
    AttorneyDetails(name="Ada Marlowe", email="ada.marlowe@example.com"),
    AttorneyDetails(name="Ben Okafor", email="ben.okafor@example.com"),
    AttorneyDetails(name="Clara Vidal", email="clara.vidal@example.com"),
)
PASSWORD_VARIABLE = "INTAKE_SEED_ADMIN_PASSWORD"  # noqa: S105 - the variable's name


async def seed(settings: IntakeSettings, attorneys: int, admin_email: str, admin_password: str) -> int:
    """Add what is missing; safe to run again. Returns how many attorneys were added."""
    engine = make_engine(settings, "seed", pool_size=1)
    sessions = make_sessions(engine)
    added = 0
    try:
        for details in DEMO_ATTORNEYS[:attorneys]:
            async with sessions() as session:
                known = await find_by_email(session, details.email)
            if known is None:
                await add_attorney(sessions, details)
                added += 1
        await create_account(sessions, email=admin_email, password=admin_password, role="admin")
    finally:
        await engine.dispose()
    return added


def main() -> int:
    """Command line: ``python -m intake_api.seed``."""
    parser = argparse.ArgumentParser(
        prog="python -m intake_api.seed",
        description=f"Development only: add demo attorneys, and an admin with the password in {PASSWORD_VARIABLE}.",
    )
    parser.add_argument("--attorneys", type=int, default=len(DEMO_ATTORNEYS), choices=range(len(DEMO_ATTORNEYS) + 1))
    parser.add_argument("--admin-email", default="admin@example.com")
    options = parser.parse_args()
    settings = load(IntakeSettings)
    password = os.environ.get(PASSWORD_VARIABLE, "")
    if settings.is_production or not password:
        reason = "refuses to run in production" if settings.is_production else f"needs {PASSWORD_VARIABLE}"
        print(f"seed {reason}", file=sys.stderr)  # noqa: T201 - a command prints
        return 2
    added = asyncio.run(seed(settings, options.attorneys, options.admin_email, password))
    print(f"added {added} demo attorneys; admin is {options.admin_email}")  # noqa: T201 - a command prints
    return 0


if __name__ == "__main__":
    sys.exit(main())
