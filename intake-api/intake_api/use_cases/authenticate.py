"""Logging in with a password. An unknown account costs as much as a wrong password and answers the same."""

import structlog
from service_chassis.database import Sessions
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from intake_api import audit
from intake_api.account_models import Account
from intake_api.caller import Caller
from intake_api.exceptions import FieldError, InvalidCredentialsError, InvalidFieldsError, TooManyLoginsError
from intake_api.passwords import Passwords, check_new_password
from intake_api.plain_text import has_controls
from intake_api.settings import IntakeSettings
from intake_api.tokens import AccessTokens
from intake_api.use_cases.login_sessions import TokenPair, open_session, revoke_sessions
from intake_api.use_cases.throttle_login import Attempt, record_failure, record_success, refuse_if_throttled

log = structlog.get_logger(__name__)


async def log_in(
    sessions: Sessions,
    settings: IntakeSettings,
    passwords: Passwords,
    tokens: AccessTokens,
    *,
    email: str,
    password: str,
    client: str,
) -> TokenPair:
    """Trade an address and password for tokens. Raises InvalidCredentialsError, TooManyLoginsError."""
    name = email.strip().lower()
    attempt = Attempt.of(tokens.hash_key, name, client, settings.login_failures_per_client)
    account = await _prove(sessions, passwords, attempt, name, password)
    async with sessions.begin() as session:
        pair = await open_session(session, tokens, account, settings.auth_session_lifetime)
    log.info("login", result="ok", account=str(account.id))
    return pair


async def change_own_password(
    sessions: Sessions,
    settings: IntakeSettings,
    passwords: Passwords,
    tokens: AccessTokens,
    caller: Caller,
    *,
    current: str,
    new: str,
    client: str,
) -> None:
    """Set a new password, knowing the old one; every session ends. Raises InvalidFieldsError, TooManyLoginsError."""
    async with sessions() as session:
        account = await session.get_one(Account, caller.account_id)
    await check_new_password(new, account.email, "new_password")
    attempt = Attempt.of(tokens.hash_key, account.email, client, settings.login_failures_per_client)
    try:
        await _prove(sessions, passwords, attempt, account.email, current)
    except InvalidCredentialsError as error:
        raise InvalidFieldsError([FieldError("current_password", "is not your password")]) from error
    password_hash = await passwords.hash(new)
    async with sessions.begin() as session:
        account = await session.get_one(Account, caller.account_id, with_for_update=True)
        account.password_hash = password_hash
        await revoke_sessions(session, account.id, "password changed")


async def _prove(sessions: Sessions, passwords: Passwords, attempt: Attempt, name: str, password: str) -> Account:
    """Check a password within the throttle's limits, and bring its hash up to date."""
    async with sessions() as session:
        await _refuse_if_throttled(session, attempt)
    async with passwords.place():
        # Asked again with a place in hand: of many guesses sent at once, only as many as there are places get by.
        async with sessions() as session:
            await _refuse_if_throttled(session, attempt)
            account = None if has_controls(name) else await session.scalar(select(Account).where(Account.email == name))
        if account is not None:
            audit.identify(f"account:{account.id}")
        matches = await passwords.verify(account.password_hash if account else None, password)
        proved = account if matches and account and account.disabled_at is None else None
        async with sessions.begin() as session:
            if proved is None:
                await record_failure(session, attempt)
            else:
                await record_success(session, attempt)
    if proved is None:
        log.info("login", result="refused", account=str(account.id) if account else None)
        raise InvalidCredentialsError
    await _rehash(sessions, passwords, proved, password)
    return proved


async def _refuse_if_throttled(session: AsyncSession, attempt: Attempt) -> None:
    try:
        await refuse_if_throttled(session, attempt)
    except TooManyLoginsError:
        log.info("login", result="throttled")
        raise


async def _rehash(sessions: Sessions, passwords: Passwords, account: Account, password: str) -> None:
    known = account.password_hash
    if known is None or not passwords.is_outdated(known):
        return
    renewed = await passwords.hash(password)
    async with sessions.begin() as session:
        stored = await session.get_one(Account, account.id, with_for_update=True)
        if stored.password_hash == known:
            stored.password_hash = renewed
