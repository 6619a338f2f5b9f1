"""Logging in, staying logged in, logging out."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from intake_api.exceptions import OidcOffError
from intake_api.routes.account_schemas import OidcLogin, OidcProvider, PasswordChange, RefreshBody, TokenBody, UserBody
from intake_api.routes.context import Client, SignedIn, World
from intake_api.routes.schemas import problems
from intake_api.use_cases.authenticate import change_own_password, log_in
from intake_api.use_cases.log_in_by_oidc import log_in_by_oidc
from intake_api.use_cases.login_sessions import log_out, refresh
from intake_api.use_cases.manage_accounts import find_user

router = APIRouter(prefix="/api/v1/auth", tags=["auth"])

_REFRESH_CONTENT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": RefreshBody.model_json_schema()}
            for kind in ("application/x-www-form-urlencoded", "application/json")
        },
    }
}


@router.post("/token", response_model=TokenBody, responses=problems(401, 413, 422, 429))
async def post_token(
    world: World,
    client: Client,
    username: Annotated[str, Form(max_length=254)],
    password: Annotated[str, Form(max_length=1024)],
) -> TokenBody:
    """Trade an address and password for tokens (OAuth2 password form)."""
    pair = await log_in(
        world.sessions,
        world.settings,
        world.passwords,
        world.tokens,
        email=username,
        password=password,
        client=client,
    )
    return TokenBody.of(pair)


@router.post("/refresh", response_model=TokenBody, responses=problems(401, 413, 422), openapi_extra=_REFRESH_CONTENT)
async def post_refresh(world: World, request: Request) -> TokenBody:
    """Trade a refresh token for the next pair (form or JSON). Used twice, it ends the login it came of."""
    body = await _refresh_body(request)
    return TokenBody.of(await refresh(world.sessions, world.tokens, body.refresh_token))


@router.post("/logout", status_code=204, responses=problems(401, 403))
async def post_logout(world: World, caller: SignedIn) -> Response:
    """End the login: its access and refresh tokens are refused from the next request on."""
    await log_out(world.sessions, caller)
    return Response(status_code=204)


@router.get("/me", response_model=UserBody, responses=problems(401, 403))
async def get_me(world: World, caller: SignedIn) -> UserBody:
    """Show the account that makes the request."""
    return UserBody.of(await find_user(world.sessions, caller.account_id))


@router.post("/password", status_code=204, responses=problems(401, 403, 422, 429))
async def post_password(world: World, caller: SignedIn, client: Client, body: PasswordChange) -> Response:
    """Change the caller's password. All their logins end, this one too."""
    await change_own_password(
        world.sessions,
        world.settings,
        world.passwords,
        world.tokens,
        caller,
        current=body.current_password,
        new=body.new_password,
        client=client,
    )
    return Response(status_code=204)


@router.get("/oidc", response_model=OidcProvider, responses=problems(404))
async def get_oidc(world: World) -> OidcProvider:
    """Name the identity provider that may log staff in, if there is one."""
    if world.oidc is None:
        raise OidcOffError
    return OidcProvider(issuer=world.oidc.issuer, client_id=world.oidc.client_id)


@router.post("/oidc", response_model=TokenBody, responses=problems(401, 404, 422, 429, 503))
async def post_oidc(world: World, client: Client, body: OidcLogin) -> TokenBody:
    """Trade an ID token of the identity provider for tokens. Each is traded once, within 10 minutes."""
    if world.oidc is None:
        raise OidcOffError
    pair = await log_in_by_oidc(
        world.sessions,
        world.settings,
        world.tokens,
        world.oidc,
        id_token=body.id_token,
        nonce=body.nonce,
        client=client,
    )
    return TokenBody.of(pair)


async def _refresh_body(request: Request) -> RefreshBody:
    """RFC 6749 s. 6 has a form; programs of today send JSON. Raises RequestValidationError."""
    is_json = request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
    content = await request.body()
    try:
        if is_json:
            return RefreshBody.model_validate_json(content)
        return RefreshBody.model_validate(dict(await request.form()))
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_input=False, include_url=False)) from error
