"""Staff accounts, for admins."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from intake_api.routes.account_schemas import NewUser, PasswordReset, UserBody, UserPage, UserPatch
from intake_api.routes.context import Admin, World
from intake_api.routes.schemas import LARGEST_OFFSET, PlainText, problems
from intake_api.use_cases.manage_accounts import (
    AccountChange,
    NewAccount,
    change_user,
    create_user,
    find_user,
    list_users,
    reset_password,
)

router = APIRouter(prefix="/api/v1/users", tags=["users"])


@router.get("", response_model=UserPage, responses=problems(401, 403, 422))
async def get_users(
    world: World,
    _admin: Admin,
    email: PlainText | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    offset: Annotated[int, Query(ge=0, le=LARGEST_OFFSET)] = 0,
) -> UserPage:
    """List accounts by address, or find the one with this address."""
    async with world.sessions() as session:
        accounts, total = await list_users(session, email, limit=limit, offset=offset)
    return UserPage(items=[UserBody.of(one) for one in accounts], total=total, limit=limit, offset=offset)


@router.post("", status_code=201, response_model=UserBody, responses=problems(401, 403, 409, 422, 429))
async def post_user(world: World, _admin: Admin, body: NewUser, response: Response) -> UserBody:
    """Make an account."""
    new = NewAccount(body.email, body.password, body.role, body.attorney_id)
    account = await create_user(world.sessions, world.passwords, new)
    response.headers["Location"] = f"/api/v1/users/{account.id}"
    return UserBody.of(account)


@router.get("/{account_id}", response_model=UserBody, responses=problems(401, 403, 404, 422))
async def get_user(world: World, _admin: Admin, account_id: UUID) -> UserBody:
    """Show one account."""
    return UserBody.of(await find_user(world.sessions, account_id))


@router.patch("/{account_id}", response_model=UserBody, responses=problems(401, 403, 404, 409, 422))
async def patch_user(world: World, _admin: Admin, account_id: UUID, body: UserPatch) -> UserBody:
    """Change role or attorney, disable or enable. The account's logins end at once."""
    change = AccountChange(body.role, body.disabled, body.attorney_id, "attorney_id" in body.model_fields_set)
    return UserBody.of(await change_user(world.sessions, account_id, change))


@router.post("/{account_id}/password", response_model=UserBody, responses=problems(401, 403, 404, 422, 429))
async def post_user_password(world: World, _admin: Admin, account_id: UUID, body: PasswordReset) -> UserBody:
    """Give an account a new password. Its logins end at once."""
    return UserBody.of(await reset_password(world.sessions, world.passwords, account_id, body.password))
