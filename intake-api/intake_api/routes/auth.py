"""Logging in."""

from typing import Annotated

from fastapi import APIRouter, Form

from intake_api.routes.context import World
from intake_api.routes.schemas import TokenBody, problems
from intake_api.use_cases.authenticate import issue_token

router = APIRouter(prefix="/api/v1/auth", tags=["auth"])


@router.post("/token", response_model=TokenBody, responses=problems(401, 422))
async def post_token(
    world: World,
    username: Annotated[str, Form(max_length=254)],
    password: Annotated[str, Form(max_length=1024)],
) -> TokenBody:
    """Trade an address and password for an access token (OAuth2 password form)."""
    token = await issue_token(world.sessions, world.settings, username, password)
    return TokenBody(access_token=token.value, expires_in=token.expires_in)
