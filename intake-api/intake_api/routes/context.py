"""What routes are given: the outside world, made once in the composition root, and the caller."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer
from service_chassis.database import Sessions
from service_chassis.prospect_link import LinkTokens
from sqlalchemy.ext.asyncio import AsyncEngine

from intake_api import audit
from intake_api.caller import Caller, Role, Scope
from intake_api.exceptions import NotAllowedError, NotAuthenticatedError
from intake_api.form import Form
from intake_api.oidc import OidcIssuer
from intake_api.passwords import Passwords
from intake_api.resume_store import ResumeStore
from intake_api.scanner import Scanner
from intake_api.settings import IntakeSettings
from intake_api.signer import Signer
from intake_api.tokens import AccessTokens
from intake_api.uploads import Uploads
from intake_api.use_cases.login_sessions import find_caller
from intake_api.use_cases.manage_api_keys import KEY_PREFIX, use_api_key


@dataclass(frozen=True)
class Outside:
    """The outside world of the HTTP process."""

    settings: IntakeSettings
    sessions: Sessions
    health_engine: AsyncEngine
    store: ResumeStore
    uploads: Uploads
    scanner: Scanner
    form: Form
    passwords: Passwords
    tokens: AccessTokens
    signer: Signer
    receipt_signer: Signer
    link_tokens: LinkTokens
    oidc: OidcIssuer | None


def get_outside(request: Request) -> Outside:
    """The outside world that the application was built with."""
    outside: Outside = request.app.state.outside
    return outside


World = Annotated[Outside, Depends(get_outside)]

bearer = OAuth2PasswordBearer(tokenUrl="/api/v1/auth/token", auto_error=False)


async def get_caller(world: World, token: Annotated[str | None, Depends(bearer)]) -> Caller:
    """Who makes the request: whose access token or API key it bears. Raises NotAuthenticatedError."""
    if not token:
        raise NotAuthenticatedError
    if token.startswith(KEY_PREFIX):
        caller = await use_api_key(world.sessions, token)
    else:
        caller = await find_caller(world.sessions, world.tokens.read(token))
    audit.identify(caller.actor)
    return caller


def get_client(request: Request) -> str:
    """The network that a request comes from, for limits: an IPv4 address, or the /64 of an IPv6 one."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return str(ip_network((address, 64), strict=False)) if address.version == 6 else host


Client = Annotated[str, Depends(get_client)]


def requires(*roles: Role, scope: Scope | None = None) -> Callable[[Caller], Awaitable[Caller]]:
    """A dependency: the caller, if of one of these roles, or an API key with this scope (no scope: no API key).

    It raises NotAuthenticatedError, NotAllowedError. Attorneys see their own leads only: a route that takes them
    looks leads up by `repository.find_lead` or `repository.visible_to`.
    """

    async def check(caller: Annotated[Caller, Depends(get_caller)]) -> Caller:
        if not caller.may(roles, scope):
            raise NotAllowedError
        return caller

    return check


_LEAD_ROLES = (Role.ADMIN, Role.INTAKE, Role.ATTORNEY)

SignedIn = Annotated[Caller, Depends(requires(*Role))]
"""Any person; no API key."""
LeadReader = Annotated[Caller, Depends(requires(*_LEAD_ROLES, scope=Scope.LEADS_READ))]
LeadWriter = Annotated[Caller, Depends(requires(*_LEAD_ROLES, scope=Scope.LEADS_WRITE))]
IntakeDesk = Annotated[Caller, Depends(requires(Role.ADMIN, Role.INTAKE))]
"""Whoever works on everybody's leads; no API key."""
AttorneyReader = Annotated[Caller, Depends(requires(*Role, scope=Scope.ATTORNEYS_READ))]
Operator = Annotated[Caller, Depends(requires(Role.ADMIN, Role.OPERATOR))]
Admin = Annotated[Caller, Depends(requires(Role.ADMIN))]
