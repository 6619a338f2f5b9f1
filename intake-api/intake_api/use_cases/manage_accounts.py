"""Accounts: made, changed, disabled and given new passwords by admins; every change ends its sessions."""

from dataclasses import dataclass
from uuid import UUID, uuid4

from service_chassis.database import Sessions
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from intake_api.account_models import Account
from intake_api.address import parse_address
from intake_api.caller import Role
from intake_api.exceptions import (
    AccountExistsError,
    AccountNotFoundError,
    AdminExistsError,
    FieldError,
    InvalidFieldsError,
    LastAdminError,
)
from intake_api.models import Attorney
from intake_api.passwords import Passwords, check_new_password
from intake_api.use_cases.login_sessions import revoke_sessions

_ADMINS_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('accounts:admins', 0))")
_IS_ACTIVE_ADMIN = (Account.role == Role.ADMIN, Account.disabled_at.is_(None))


@dataclass(frozen=True)
class NewAccount:
    """An account to make. Without a password only the identity provider lets it in."""

    email: str
    password: str | None
    role: Role
    attorney_id: UUID | None = None


@dataclass(frozen=True)
class AccountChange:
    """What to change; None leaves a thing as it is. ``changes_attorney``: ``attorney_id`` is meant, even None."""

    role: Role | None = None
    disabled: bool | None = None
    attorney_id: UUID | None = None
    changes_attorney: bool = False


async def create_first_admin(sessions: Sessions, passwords: Passwords, email: str, password: str) -> UUID:
    """Make the admin who makes all others. Raises AdminExistsError, InvalidFieldsError, AccountExistsError."""
    address = _address(email)
    await check_new_password(password, address)
    password_hash = await passwords.hash(password)
    async with sessions.begin() as session:
        await session.execute(_ADMINS_LOCK)
        if await session.scalar(select(func.count()).where(Account.role == Role.ADMIN)):
            raise AdminExistsError
        return (await _add(session, NewAccount(address, password, Role.ADMIN), password_hash)).id


async def create_user(sessions: Sessions, passwords: Passwords, new: NewAccount) -> Account:
    """Make an account. Raises InvalidFieldsError, AccountExistsError."""
    password_hash = None
    if new.password is not None:
        await check_new_password(new.password, new.email)
        password_hash = await passwords.hash(new.password)
    async with sessions.begin() as session:
        await _check_attorney(session, new.role, new.attorney_id)
        return await _add(session, new, password_hash)


async def change_user(sessions: Sessions, account_id: UUID, change: AccountChange) -> Account:
    """Change an account; its sessions end. Raises AccountNotFoundError, InvalidFieldsError, LastAdminError."""
    async with sessions.begin() as session:
        await session.execute(_ADMINS_LOCK)
        account = await _lock(session, account_id)
        role = change.role or Role(account.role)
        attorney_id = change.attorney_id if change.changes_attorney else account.attorney_id
        disabled = account.disabled_at is not None if change.disabled is None else change.disabled
        await _check_attorney(session, role, attorney_id)
        if role is not Role.ADMIN or disabled:
            await _refuse_if_last_admin(session, account)
        account.role, account.attorney_id = role, attorney_id
        if disabled != (account.disabled_at is not None):
            account.disabled_at = await session.scalar(select(func.now())) if disabled else None
        await revoke_sessions(session, account.id, "disabled" if disabled else "account changed")
        return account


async def reset_password(sessions: Sessions, passwords: Passwords, account_id: UUID, password: str) -> Account:
    """Give an account a new password; its sessions end. Raises AccountNotFoundError, InvalidFieldsError."""
    account = await find_user(sessions, account_id)
    await check_new_password(password, account.email)
    password_hash = await passwords.hash(password)
    async with sessions.begin() as session:
        account = await _lock(session, account_id)
        account.password_hash = password_hash
        await revoke_sessions(session, account.id, "password reset")
        return account


async def find_user(sessions: Sessions, account_id: UUID) -> Account:
    """Read an account. Raises AccountNotFoundError."""
    async with sessions() as session:
        account = await session.get(Account, account_id)
    if account is None:
        raise AccountNotFoundError
    return account


async def list_users(session: AsyncSession, email: str | None, *, limit: int, offset: int) -> tuple[list[Account], int]:
    """Accounts by address, and how many there are in all; with ``email``, the one that has it."""
    chosen = [Account.email == email.strip().lower()] if email is not None else []
    found = await session.scalars(select(Account).where(*chosen).order_by(Account.email).limit(limit).offset(offset))
    total = await session.scalar(select(func.count()).select_from(Account).where(*chosen))
    return list(found.all()), int(total or 0)


async def _add(session: AsyncSession, new: NewAccount, password_hash: str | None) -> Account:
    if await session.scalar(select(Account.id).where(Account.email == new.email)):
        raise AccountExistsError
    account = Account(
        id=uuid4(), email=new.email, password_hash=password_hash, role=new.role, attorney_id=new.attorney_id
    )
    session.add(account)
    await session.flush()
    return account


async def _lock(session: AsyncSession, account_id: UUID) -> Account:
    account = await session.get(Account, account_id, with_for_update=True)
    if account is None:
        raise AccountNotFoundError
    return account


async def _check_attorney(session: AsyncSession, role: Role, attorney_id: UUID | None) -> None:
    if attorney_id is None:
        if role is Role.ATTORNEY:
            raise InvalidFieldsError([FieldError("attorney_id", "is required: whose leads does this account see?")])
    elif await session.get(Attorney, attorney_id) is None:
        raise InvalidFieldsError([FieldError("attorney_id", "names no attorney: see GET /api/v1/attorneys")])


async def _refuse_if_last_admin(session: AsyncSession, account: Account) -> None:
    if account.role != Role.ADMIN or account.disabled_at is not None:
        return
    others = select(func.count()).select_from(Account).where(*_IS_ACTIVE_ADMIN, Account.id != account.id)
    if not await session.scalar(others):
        raise LastAdminError


def _address(email: str) -> str:
    try:
        return parse_address(email).lower()
    except ValueError as error:
        raise InvalidFieldsError([FieldError("email", str(error))]) from error
