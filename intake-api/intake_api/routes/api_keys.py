"""API keys of integrations, for admins."""

from uuid import UUID

from fastapi import APIRouter

from intake_api.routes.account_schemas import ApiKeyBody, ApiKeyList, CreatedApiKey, NewApiKey
from intake_api.routes.context import Admin, World
from intake_api.routes.schemas import problems
from intake_api.use_cases.manage_api_keys import create_api_key, list_api_keys, revoke_api_key

router = APIRouter(prefix="/api/v1/api-keys", tags=["api keys"])


@router.get("", response_model=ApiKeyList, responses=problems(401, 403))
async def get_api_keys(world: World, _admin: Admin) -> ApiKeyList:
    """List all keys by their first characters, newest first."""
    return ApiKeyList(items=[ApiKeyBody.of(key) for key in await list_api_keys(world.sessions)])


@router.post("", status_code=201, response_model=CreatedApiKey, responses=problems(401, 403, 422))
async def post_api_key(world: World, admin: Admin, body: NewApiKey) -> CreatedApiKey:
    """Make a key. It is in this answer and never shown again; send it as ``Authorization: Bearer <key>``."""
    key, secret = await create_api_key(
        world.sessions,
        admin,
        name=body.name,
        scopes=body.scopes,
        requests_per_minute=body.requests_per_minute,
        expires_at=body.expires_at,
    )
    return CreatedApiKey(**ApiKeyBody.of(key).model_dump(), key=secret)


@router.delete("/{key_id}", response_model=ApiKeyBody, responses=problems(401, 403, 404, 422))
async def delete_api_key(world: World, _admin: Admin, key_id: UUID) -> ApiKeyBody:
    """Revoke a key for good. The row stays, so that its past requests can be told."""
    return ApiKeyBody.of(await revoke_api_key(world.sessions, key_id))
