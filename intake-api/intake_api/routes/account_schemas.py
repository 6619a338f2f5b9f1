"""What the routes of accounts, logins and API keys say and take, as JSON."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StringConstraints, model_validator

from intake_api.account_models import Account, ApiKey
from intake_api.caller import Role, Scope
from intake_api.passwords import LONGEST, SHORTEST
from intake_api.routes.schemas import Address, Instant, ShortText
from intake_api.use_cases.login_sessions import TokenPair

Password = Annotated[str, StringConstraints(max_length=LONGEST)]
LowerAddress = Annotated[Address, AfterValidator(str.lower)]


class TokenBody(BaseModel):
    """Tokens of a login (RFC 6749 s. 5.1). The refresh token is good for one use."""

    access_token: str
    token_type: str = "bearer"  # noqa: S105 - the kind of token, not a secret
    expires_in: int = Field(description="Seconds the access token is valid")
    refresh_token: str

    @classmethod
    def of(cls, pair: TokenPair) -> Self:
        """Encode a login's tokens."""
        return cls(access_token=pair.access.value, expires_in=pair.access.expires_in, refresh_token=pair.refresh)


class RefreshBody(BaseModel):
    """The refresh token to trade for the next pair."""

    refresh_token: Annotated[str, StringConstraints(min_length=1, max_length=256)]


class PasswordChange(BaseModel):
    """The caller's old password and the new one."""

    model_config = ConfigDict(extra="forbid")

    current_password: Password
    new_password: Annotated[Password, Field(description=f"{SHORTEST} characters or more, not easy to guess")]


class OidcLogin(BaseModel):
    """An ID token, and the nonce that the client had it made with."""

    model_config = ConfigDict(extra="forbid")

    id_token: Annotated[str, StringConstraints(min_length=1, max_length=16_384)]
    nonce: Annotated[str, StringConstraints(min_length=8, max_length=256)]


class OidcProvider(BaseModel):
    """Where staff may log in: a public client (authorization code with PKCE) of this issuer."""

    issuer: str
    client_id: str


class UserBody(BaseModel):
    """A staff account."""

    id: UUID
    email: str
    role: Role
    attorney_id: UUID | None
    disabled: bool
    has_password: bool
    created_at: datetime

    @classmethod
    def of(cls, account: Account) -> Self:
        """Encode an account."""
        return cls(
            id=account.id,
            email=account.email,
            role=Role(account.role),
            attorney_id=account.attorney_id,
            disabled=account.disabled_at is not None,
            has_password=account.password_hash is not None,
            created_at=account.created_at,
        )


class UserPage(BaseModel):
    """A page of accounts, by address."""

    items: list[UserBody]
    total: int
    limit: int
    offset: int


class NewUser(BaseModel):
    """An account to make. Without a password only the identity provider lets it in."""

    model_config = ConfigDict(extra="forbid")

    email: LowerAddress
    role: Role
    password: Password | None = None
    attorney_id: UUID | None = Field(None, description="Whose leads the account sees; required for attorneys")


class UserPatch(BaseModel):
    """What to change of an account; what is absent stays. Its sessions end."""

    model_config = ConfigDict(extra="forbid")

    role: Role | None = None
    disabled: StrictBool | None = None
    attorney_id: UUID | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("give at least one of role, disabled, attorney_id")
        return self


class PasswordReset(BaseModel):
    """An account's new password."""

    model_config = ConfigDict(extra="forbid")

    password: Password


class NewApiKey(BaseModel):
    """A key to make for an integration."""

    model_config = ConfigDict(extra="forbid")

    name: ShortText
    scopes: Annotated[list[Scope], Field(min_length=1)]
    requests_per_minute: Annotated[int, Field(ge=1, le=60_000)] = 60
    expires_at: Instant | None = Field(None, description="null: until it is revoked")


class ApiKeyBody(BaseModel):
    """An integration's key, by its first characters."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    prefix: str
    scopes: list[Scope]
    requests_per_minute: int
    created_by: UUID
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        """Encode a key, without its secret."""
        return cls.model_validate(key)


class CreatedApiKey(ApiKeyBody):
    """A new key. ``key`` is shown here and never again."""

    key: str


class ApiKeyList(BaseModel):
    """All keys, newest first."""

    items: list[ApiKeyBody]
