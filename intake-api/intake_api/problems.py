"""Errors as RFC 9457 problem details: mapped once, all wrong fields at once, nothing internal in them."""

import json
import math
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from service_chassis.telemetry import log_fields
from service_chassis.transient import is_dependency_away, is_statement_cancelled
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import compile_path

from intake_api import exceptions as errors
from intake_api.body_limits import BodyTooLargeError, BodyTooSlowError

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
_SEVERITY = (422, 413, 415)


def problem(
    status: int,
    kind: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> JSONResponse:
    """A problem answer. ``kind`` names its type (``urn:problem:<kind>``); ``members`` extend it."""
    body = {
        "type": f"urn:problem:{kind}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **members,
    }
    return JSONResponse(body, status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def invalid_fields(found: tuple[errors.FieldError, ...]) -> JSONResponse:
    """One entry per wrong field. The status is 422 unless size or type of the resume is all that is wrong."""
    statuses = {error.status for error in found}
    status = next((severity for severity in _SEVERITY if severity in statuses), 422)
    entries = [{"field": error.field, "detail": error.detail} for error in found]
    listed = "; ".join(f"{error.field} {error.detail}" for error in found)
    return problem(status, "invalid-fields", listed, errors=entries)


Render = Callable[[Any], JSONResponse]

_RENDERERS: dict[type[Exception], Render] = {
    errors.InvalidFieldsError: lambda e: invalid_fields(e.errors),
    BodyTooLargeError: lambda e: problem(
        413,
        "body-too-large",
        f"the body is larger than the {e.limit} bytes that this route takes",
        errors=[{"field": e.field, "detail": f"is too large: the whole body may have {e.limit} bytes"}],
    ),
    BodyTooSlowError: lambda _: problem(408, "body-too-slow", "the body did not arrive in time; send it again"),
    errors.UnsupportedBodyError: lambda _: problem(
        415, "unsupported-body", "send application/json or multipart/form-data"
    ),
    errors.IdempotencyKeyInUseError: lambda e: problem(
        409,
        "idempotency-key-in-use",
        "a request with this Idempotency-Key is still running; repeat it later",
        headers={"Retry-After": str(e.retry_after)},
    ),
    errors.IdempotencyKeyReusedError: lambda _: problem(
        422,
        "idempotency-key-reused",
        "this Idempotency-Key was used for another body; take a new one for a new request",
    ),
    errors.InvalidIdempotencyKeyError: lambda _: problem(
        400, "invalid-idempotency-key", "Idempotency-Key must be 1 to 255 printable ASCII characters"
    ),
    errors.LimitReachedError: lambda e: problem(
        429,
        "limit-reached",
        f"the {e.scope} limit is reached; repeat the request in {e.retry_after} s",
        headers={"Retry-After": str(e.retry_after)},
        scope=e.scope,
    ),
    errors.SubmissionNotFoundError: lambda _: problem(
        404, "submission-not-found", "the lead has no such submission: see its submissions"
    ),
    errors.SubmissionNotMovableError: lambda _: problem(
        409, "submission-not-movable", "the lead was made from this submission; unlink the others, or merge the lead"
    ),
    errors.ResumeQuarantinedError: lambda e: problem(
        409, "resume-quarantined", f"the resume is not given out: {e}", flags=list(e.flags)
    ),
    errors.LeadNotFoundError: lambda _: problem(404, "lead-not-found", "there is no such lead"),
    errors.AttorneyNotFoundError: lambda _: problem(404, "attorney-not-found", "there is no such attorney"),
    errors.AttorneyExistsError: lambda _: problem(
        409, "attorney-exists", "another attorney has this address; change that one instead"
    ),
    errors.DeadLetterNotFoundError: lambda _: problem(404, "dead-letter-not-found", "there is no such dead letter"),
    errors.DeadLetterNotReplayableError: lambda e: problem(
        409, "not-replayable", f"the message cannot be sent again: {e}; discard it with a reason"
    ),
    errors.DeadLetterNotOpenError: lambda e: problem(
        409, "dead-letter-not-open", f"the message is {e.status}; only one that is open is discarded"
    ),
    errors.ResumeMissingError: lambda _: problem(404, "resume-missing", "the resume is not in the store any more"),
    errors.LegalHoldError: lambda _: problem(
        409, "legal-hold", "the lead is under a legal hold; release that first (DELETE its legal-hold)"
    ),
    errors.IllegalMoveError: lambda e: problem(409, "illegal-move", str(e), **e.extensions()),
    errors.ReceiptNotFoundError: lambda _: problem(
        404, "receipt-not-found", "this link leads to no submission; it may have been revoked"
    ),
    errors.ResumeKeptError: lambda _: problem(
        409, "resume-kept", "the resume cannot be changed at present; please write to us"
    ),
    errors.ResumeWithdrawnError: lambda _: problem(410, "resume-withdrawn", "the prospect has withdrawn the resume"),
    errors.LinkNotFoundError: lambda _: problem(
        404,
        "link-not-found",
        "this link is not valid, or not any more: ask for a new one (POST /api/v1/prospects/links)",
    ),
    errors.DataKeptError: lambda _: problem(
        409, "data-kept", "what may be erased is erased; the rest has to be kept at present: please write to us"
    ),
    errors.OutreachNotPossibleError: lambda e: problem(409, "outreach-not-possible", str(e)),
    errors.StaleEtagError: lambda e: problem(
        412,
        "stale-etag",
        "the lead has changed since you read it; read it again and decide anew",
        headers={"ETag": e.current},
    ),
    errors.QueryTooCostlyError: lambda _: problem(
        503,
        "query-too-costly",
        "the question takes too long; narrow its filters, use cursor instead of offset, or total=false",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    ),
    errors.StorageAwayError: lambda _: problem(
        503,
        "storage-away",
        "resumes cannot be stored or read now; nothing was written, repeat the request",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    ),
    errors.InvalidCredentialsError: lambda _: problem(
        401, "invalid-credentials", "unknown account or wrong password", headers={"WWW-Authenticate": "Bearer"}
    ),
    errors.NotAuthenticatedError: lambda _: problem(
        401,
        "not-authenticated",
        "send a valid access token or API key: Authorization: Bearer <token> (POST /api/v1/auth/token gives one)",
        headers={"WWW-Authenticate": "Bearer"},
    ),
    errors.InvalidRefreshTokenError: lambda _: problem(
        401,
        "invalid-refresh-token",
        "the refresh token is unknown, used, expired or revoked; log in again",
        headers={"WWW-Authenticate": "Bearer"},
    ),
    errors.TooManyLoginsError: lambda e: problem(
        429,
        "too-many-logins",
        f"too many failed logins; try again in {e.retry_after} s",
        headers={"Retry-After": str(e.retry_after)},
    ),
    errors.TooManyRequestsError: lambda e: problem(
        429,
        "too-many-requests",
        f"the API key has had its requests of this minute; try again in {e.retry_after} s",
        headers={"Retry-After": str(e.retry_after)},
    ),
    errors.AccountNotFoundError: lambda _: problem(404, "account-not-found", "there is no such account"),
    errors.AccountExistsError: lambda _: problem(
        409, "account-exists", "another account has this address; change that one instead"
    ),
    errors.LastAdminError: lambda _: problem(
        409, "last-admin", "no admin would be left who can log in; make another one first"
    ),
    errors.ApiKeyNotFoundError: lambda _: problem(404, "api-key-not-found", "there is no such API key"),
    errors.OidcOffError: lambda _: problem(
        404, "oidc-off", "no identity provider is configured; log in with a password (POST /api/v1/auth/token)"
    ),
    errors.IdentityProviderAwayError: lambda _: problem(
        503,
        "identity-provider-away",
        "the identity provider does not give its keys; repeat the request",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    ),
    errors.NotAllowedError: lambda e: _not_allowed(e.errors),
}


def _not_allowed(found: tuple[errors.FieldError, ...]) -> JSONResponse:
    if not found:
        return problem(403, "not-allowed", "your role, or the scopes of your API key, do not allow this")
    entries = [{"field": error.field, "detail": error.detail} for error in found]
    return problem(403, "not-allowed", "; ".join(f"{e.field} {e.detail}" for e in found), errors=entries)


def status_of(error: Exception) -> int:
    """The HTTP status that an error is answered with."""
    for kind in type(error).__mro__:
        if kind in _RENDERERS:
            return _RENDERERS[kind](error).status_code
    if isinstance(error, HTTPException):
        return error.status_code
    return 503 if _is_below_us(error) else 500


def _is_below_us(error: Exception) -> bool:
    return is_dependency_away(error) or is_statement_cancelled(error)


def describe(error: errors.IntakeError) -> dict[str, Any]:
    """The problem that an error is, as a member of another answer."""
    described: dict[str, Any] = json.loads(bytes(_RENDERERS[type(error)](error).body))
    return described


def install(app: FastAPI) -> None:
    """Make every error of the application a problem."""
    for kind, render in _RENDERERS.items():
        app.add_exception_handler(kind, _handler(render))
    app.add_exception_handler(RequestValidationError, _answer_invalid_request)
    app.add_exception_handler(HTTPException, _answer_http_error)
    for away in (SQLAlchemyError, OSError, TimeoutError):
        app.add_exception_handler(away, _handler(dependency_problem))


def _handler(render: Render) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
    async def handle(_request: Request, error: Exception) -> JSONResponse:
        return render(error)

    return handle


async def _answer_invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for nothing else
    named = request.app.openapi()["paths"].get(request.url.path)
    if named is not None and request.method.lower() not in named:
        return _wrong_method(request)  # /leads/bulk is no lead, although PATCH /leads/{lead_id} matches
    return _invalid_request(error)


def _invalid_request(error: RequestValidationError) -> JSONResponse:
    entries: dict[str, str] = {}
    for found in error.errors():
        place = [str(part) for part in found["loc"] if part not in {"body", "query", "path", "header"}]
        if len(place) > 1 and _is_tag(place[0], error.body):
            del place[0]
        if found["type"] == "json_invalid":
            place = ["body"]
        detail = "is required" if found["type"] == "missing" else str(found["msg"]).removeprefix("Value error, ")
        entries.setdefault(".".join(place) or "body", detail)
    return invalid_fields(tuple(errors.FieldError(field, detail) for field, detail in entries.items()))


def _is_tag(name: str, body: Any) -> bool:
    """Whether a place begins with the kind of body that was sent (pydantic puts a union's tag there), not a field."""
    return isinstance(body, dict) and not isinstance(body.get(name), dict | list) and name in body.values()


async def _answer_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    if error.status_code == 405 and _methods_of(request):
        return _wrong_method(request)
    return _http_error(error)


def _wrong_method(request: Request) -> JSONResponse:
    headers = {"Allow": _methods_of(request)}
    return problem(405, "method-not-allowed", "this route has other methods: see Allow", headers=headers)


def _methods_of(request: Request) -> str:
    """All methods of the route (RFC 9110 s. 10.2.1), as documented: to the router each is a route of its own."""
    paths = request.app.openapi()["paths"]
    matching = [path for path in paths if compile_path(path)[0].match(request.url.path)]
    nearest = min(matching, key=lambda path: path.count("{"), default=None)
    return ", ".join(sorted(method.upper() for method in paths[nearest])) if nearest else ""


def _http_error(error: HTTPException) -> JSONResponse:
    if error.status_code == 400 and "parsing the body" in str(error.detail):
        return invalid_fields((errors.FieldError("body", "is not valid JSON: send one JSON object"),))
    kinds = {404: "not-found", 405: "method-not-allowed"}
    kind = kinds.get(error.status_code, "http-error")
    return problem(error.status_code, kind, str(error.detail), headers=error.headers)


def dependency_problem(error: Exception) -> JSONResponse:
    """Answer what failed below us: 503 where a dependency is away or too slow, else as unexpected."""
    if not _is_below_us(error):
        return unexpected(error)
    log.warning("dependency_away", **log_fields(error))
    return problem(
        503,
        "dependency-away",
        "a part of the system is away; repeat the request (with the same Idempotency-Key)",
        headers={"Retry-After": str(math.ceil(RETRY_AFTER_S))},
    )


def unexpected(error: Exception) -> JSONResponse:
    """Answer an error that nobody foresaw: logged by type and place, told to the caller as nothing but itself."""
    log.error("unexpected_error", **log_fields(error))
    return problem(500, "internal-error", "something went wrong on our side; it was logged")
