"""Logging in with an ID token of the firm's identity provider.

The provider says who somebody is; whether they have an account, and its role, is said here. The first login finds
the account by the verified address and binds it to the provider's subject; from then on the subject alone counts.
"""

import hashlib

import structlog
from service_chassis.database import Sessions
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from intake_api import audit
from intake_api.account_models import Account, SpentIdToken
from intake_api.exceptions import InvalidCredentialsError
from intake_api.oidc import OidcIssuer
from intake_api.settings import IntakeSettings
from intake_api.tokens import AccessTokens
from intake_api.use_cases.login_sessions import TokenPair, open_session
from intake_api.use_cases.throttle_login import Attempt, record_failure, record_success, refuse_if_throttled

log = structlog.get_logger(__name__)


async def log_in_by_oidc(
    sessions: Sessions,
    settings: IntakeSettings,
    tokens: AccessTokens,
    issuer: OidcIssuer,
    *,
    id_token: str,
    nonce: str,
    client: str,
) -> TokenPair:
    """Trade an ID token, once, for our tokens.

    Failures delay the client that makes them, as those of passwords do. Raises InvalidCredentialsError,
    IdentityProviderAwayError, TooManyLoginsError.
    """
    # No account is named before the token is believed: the pair is the client and this way in.
    name = f"identity provider, {client}"
    attempt = Attempt.of(tokens.hash_key, name, client, settings.login_failures_per_client)
    async with sessions() as session:
        await refuse_if_throttled(session, attempt)
    try:
        pair = await _trade(sessions, settings, tokens, issuer, id_token, nonce)
    except InvalidCredentialsError:
        async with sessions.begin() as session:
            await record_failure(session, attempt)
        raise
    async with sessions.begin() as session:
        await record_success(session, attempt)
    return pair


async def _trade(
    sessions: Sessions, settings: IntakeSettings, tokens: AccessTokens, issuer: OidcIssuer, id_token: str, nonce: str
) -> TokenPair:
    identity = await issuer.identify(id_token, nonce)
    audit.identify("identity-provider")
    subject = f"{issuer.issuer} {identity.subject}"
    async with sessions.begin() as session:
        spent = await session.scalar(
            insert(SpentIdToken)
            .values(token_hash=hashlib.sha256(id_token.encode()).digest(), expires_at=identity.expires_at)
            .on_conflict_do_nothing()
            .returning(SpentIdToken.token_hash)
        )
        account = await session.scalar(select(Account).where(Account.oidc_subject == subject).with_for_update())
        if account is None and identity.email:
            account = await session.scalar(
                select(Account)
                .where(Account.email == identity.email.lower(), Account.oidc_subject.is_(None))
                .with_for_update()
            )
        if spent is None or account is None or account.disabled_at is not None:
            raise InvalidCredentialsError
        account.oidc_subject = subject
        pair = await open_session(session, tokens, account, settings.auth_session_lifetime)
    log.info("login", result="ok", by="oidc", account=str(account.id))
    return pair
