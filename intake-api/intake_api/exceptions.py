"""What can go wrong, in the field's terms. Each transport maps these once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID


class IntakeError(Exception):
    """An error with a meaning for the caller."""


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field, and what to do about it."""

    field: str
    detail: str
    status: int = 422


class InvalidFieldsError(IntakeError):
    """The input is wrong in one or more fields; all of them are named at once."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__(", ".join(error.field for error in errors))
        self.errors = tuple(errors)


class UnsupportedBodyError(IntakeError):
    """The request's content type is not one the route reads."""


class IdempotencyKeyInUseError(IntakeError):
    """A request with this key is still running; ``retry_after`` seconds from now it is over or may be taken."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("a request with this Idempotency-Key is still running")
        self.retry_after = retry_after


class IdempotencyKeyReusedError(IntakeError):
    """The key was used for another body."""


class InvalidIdempotencyKeyError(IntakeError):
    """The key is empty, too long, or not printable ASCII."""


class LimitReachedError(IntakeError):
    """A cap is used up; ``retry_after`` seconds from now it is not. ``scope`` names it."""

    def __init__(self, scope: str, retry_after: int) -> None:
        super().__init__(f"the {scope} limit is reached")
        self.scope = scope
        self.retry_after = retry_after


class SubmissionNotFoundError(IntakeError):
    """The lead has no such submission."""


class SubmissionNotMovableError(IntakeError):
    """The lead was made from this submission."""


class ResumeQuarantinedError(IntakeError):
    """The resume is malware, or nobody knows yet; ``flags`` say which."""

    def __init__(self, flags: Sequence[str]) -> None:
        super().__init__(", ".join(flags))
        self.flags = tuple(flags)


class LeadNotFoundError(IntakeError):
    """There is no such lead."""

    def __init__(self, lead_id: UUID) -> None:
        super().__init__(f"no lead {lead_id}")
        self.lead_id = lead_id


class AttorneyNotFoundError(IntakeError):
    """There is no such attorney."""

    def __init__(self, attorney_id: UUID) -> None:
        super().__init__(f"no attorney {attorney_id}")
        self.attorney_id = attorney_id


class AttorneyExistsError(IntakeError):
    """Another attorney has this address."""


class DeadLetterNotFoundError(IntakeError):
    """There is no such dead letter."""


class DeadLetterNotReplayableError(IntakeError):
    """The message cannot be sent again; the text says why."""


class DeadLetterNotOpenError(IntakeError):
    """The message is on its way again or was discarded; ``status`` says which."""

    def __init__(self, status: str) -> None:
        super().__init__(f"the dead letter is {status}")
        self.status = status


class ResumeMissingError(IntakeError):
    """The lead's resume object is gone from the store."""


class IllegalMoveError(IntakeError):
    """The lead's status does not allow the change; ``legal`` names the moves it allows."""

    def __init__(self, detail: str, *, status: str, legal: Sequence[str]) -> None:
        super().__init__(detail)
        self.status = status
        self.legal = tuple(legal)

    def extensions(self) -> Mapping[str, object]:
        """What a program needs to choose a legal move."""
        return {"current_status": self.status, "legal_statuses": list(self.legal)}


class ReceiptNotFoundError(IntakeError):
    """There is no submission of this link: never was, is gone, or the link was revoked. Deliberately the same."""


class ResumeKeptError(IntakeError):
    """The resume may not be changed or taken away now. Why is not the prospect's to know."""


class ResumeWithdrawnError(IntakeError):
    """The prospect has withdrawn the resume."""


class LinkNotFoundError(IntakeError):
    """There is no such link: never was, is over, was used up or revoked. Deliberately the same."""


class DataKeptError(IntakeError):
    """Something of the prospect may not be erased now. Why is not theirs to know."""


class OutreachNotPossibleError(IntakeError):
    """No mail can be sent for this lead now; the text says why and what to do."""


class StaleEtagError(IntakeError):
    """The lead was changed since the caller read it; ``current`` is its ETag now."""

    def __init__(self, current: str) -> None:
        super().__init__("the lead has changed")
        self.current = current


class QueryTooCostlyError(IntakeError):
    """The database ended the question for taking too long."""


class StorageAwayError(IntakeError):
    """The resume store does not answer; nothing was written, the request may be repeated."""


class InvalidCredentialsError(IntakeError):
    """Unknown account or wrong password: deliberately the same."""


class NotAuthenticatedError(IntakeError):
    """No access token, or one that is not valid."""


class NotAllowedError(IntakeError):
    """The caller's role or scopes do not allow this: the route, or one ``field`` of what was sent."""

    def __init__(self, field: str | None = None, detail: str = "") -> None:
        super().__init__(field or "route")
        self.errors = (FieldError(field, detail, 403),) if field else ()


class InvalidRefreshTokenError(IntakeError):
    """The refresh token is unknown, used, expired or revoked: deliberately the same."""


class TooManyLoginsError(IntakeError):
    """Too many failed logins, or too many at once; ``retry_after`` seconds from now it may be tried again."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("too many logins")
        self.retry_after = retry_after


class TooManyRequestsError(IntakeError):
    """The API key has had its requests of this minute; the next one begins in ``retry_after`` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("too many requests")
        self.retry_after = retry_after


class AccountNotFoundError(IntakeError):
    """There is no such account."""


class AccountExistsError(IntakeError):
    """Another account has this address."""


class LastAdminError(IntakeError):
    """Without this account there would be no admin who can log in."""


class AdminExistsError(IntakeError):
    """There is an admin already: further accounts are made by admins."""


class ApiKeyNotFoundError(IntakeError):
    """There is no such API key."""


class OidcOffError(IntakeError):
    """No identity provider is configured."""


class IdentityProviderAwayError(IntakeError):
    """The identity provider does not give its keys."""


class LegalHoldError(IntakeError):
    """The lead is under a legal hold: nothing erases it until the hold is released."""


class NotDueError(IntakeError):
    """The lead has changed since it was found due: it is not any more."""
