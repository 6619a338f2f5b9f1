"""What routes are given: the outside world, made once in the composition root, and the caller."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer
from service_chassis.database import Sessions
from sqlalchemy.ext.asyncio import AsyncEngine

from intake_api.exceptions import NotAllowedError, NotAuthenticatedError
from intake_api.resume_store import ResumeStore
from intake_api.settings import IntakeSettings
from intake_api.uploads import Uploads
from intake_api.use_cases.authenticate import Caller, read_token


@dataclass(frozen=True)
class Outside:
    """The outside world of the HTTP process."""

    settings: IntakeSettings
    sessions: Sessions
    health_engine: AsyncEngine
    store: ResumeStore
    uploads: Uploads


def get_outside(request: Request) -> Outside:
    """The outside world that the application was built with."""
    outside: Outside = request.app.state.outside
    return outside


World = Annotated[Outside, Depends(get_outside)]

bearer = OAuth2PasswordBearer(tokenUrl="/api/v1/auth/token", auto_error=False)


def get_caller(world: World, token: Annotated[str | None, Depends(bearer)]) -> Caller:
    """The staff account that makes the request. Raises NotAuthenticatedError."""
    if not token:
        raise NotAuthenticatedError
    return read_token(world.settings, token)


Staff = Annotated[Caller, Depends(get_caller)]


def get_admin(caller: Staff) -> Caller:
    """The caller, if an admin. Raises NotAuthenticatedError, NotAllowedError."""
    if caller.role != "admin":
        raise NotAllowedError
    return caller


def get_operator(caller: Staff) -> Caller:
    """The caller, if an operator or admin. Raises NotAuthenticatedError, NotAllowedError."""
    if caller.role not in {"admin", "operator"}:
        raise NotAllowedError
    return caller


Operator = Annotated[Caller, Depends(get_operator)]
Admin = Annotated[Caller, Depends(get_admin)]
