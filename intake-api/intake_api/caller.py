"""Who makes a request, and what they may do. Pure.

A person has a role; an integration has an API key with scopes, and no role. Routes name the roles and the scope
that they take (`routes.context.requires`); an attorney's view of leads is narrowed by `repository.visible_to`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """What a staff account is for."""

    ADMIN = "admin"
    """Everything, accounts and erasure included."""
    INTAKE = "intake"
    """All leads: read, change, assign."""
    ATTORNEY = "attorney"
    """Their own leads: read, and change all but the owner."""
    OPERATOR = "operator"
    """Recovery: dead letters, stuck leads, rebuilding. Nothing of what a prospect sent."""


class Scope(StrEnum):
    """What an API key may be used for."""

    LEADS_READ = "leads:read"
    LEADS_WRITE = "leads:write"
    ATTORNEYS_READ = "attorneys:read"


@dataclass(frozen=True)
class Caller:
    """Who makes a request: a staff account with its role and attorney, or (``role`` None) an API key with scopes."""

    account_id: UUID
    role: Role | None
    attorney_id: UUID | None = None
    session_id: UUID | None = None
    scopes: frozenset[Scope] = frozenset()

    @property
    def actor(self) -> str:
        """The caller as timeline and audit name them; no personal data."""
        return f"{'account' if self.role else 'api-key'}:{self.account_id}"

    @property
    def sees_own_leads_only(self) -> bool:
        """Whether leads of other attorneys do not exist for this caller."""
        return self.role is Role.ATTORNEY

    def may(self, roles: Collection[Role], scope: Scope | None) -> bool:
        """Whether a route that takes these roles, and keys with this scope, takes this caller."""
        return self.role in roles if self.role else scope in self.scopes

    def sees(self, owner: UUID | None) -> bool:
        """Whether a lead of this owner exists for the caller."""
        return not self.sees_own_leads_only or (owner is not None and owner == self.attorney_id)
