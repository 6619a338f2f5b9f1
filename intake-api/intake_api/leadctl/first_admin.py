"""What ``leadctl users create-admin`` does in the database: the one command that speaks to it.

A module of its own, imported by that command alone: with it come SQLAlchemy and argon2, which would double the time
that every other command takes to start.
"""

import asyncio
from uuid import UUID

from pydantic_settings import SettingsConfigDict
from service_chassis.database import make_engine, make_sessions
from service_chassis.settings import DatabaseGroup, ServiceSettings, load
from sqlalchemy.exc import SQLAlchemyError

from intake_api.exceptions import AccountExistsError, AdminExistsError, InvalidFieldsError
from intake_api.leadctl.connection import Trouble
from intake_api.passwords import Passwords
from intake_api.use_cases.manage_accounts import create_first_admin


class AdminDatabase(DatabaseGroup, ServiceSettings):
    """The database that the first admin is written to: INTAKE_DATABASE_URL, nothing else of the service."""

    model_config = SettingsConfigDict(env_prefix="INTAKE_")


def create(email: str, password: str) -> UUID:
    """Make the first admin and give the account's id; Trouble when there is one, or the password is too weak."""
    return asyncio.run(_create(load(AdminDatabase), email, password))


async def _create(settings: AdminDatabase, email: str, password: str) -> UUID:
    engine = make_engine(settings, "leadctl", pool_size=1)
    try:
        passwords = Passwords(memory_kib=19_456, passes=2, at_once=1)
        return await create_first_admin(make_sessions(engine), passwords, email, password)
    except (OSError, SQLAlchemyError) as error:
        raise Trouble(f"the database does not answer ({type(error).__name__})") from error
    except AdminExistsError as error:
        raise Trouble("there is an admin already: log in as one and use leadctl users create") from error
    except AccountExistsError as error:
        raise Trouble("an account has this address") from error
    except InvalidFieldsError as error:
        raise Trouble("; ".join(f"{one.field} {one.detail}" for one in error.errors)) from error
    finally:
        await engine.dispose()
