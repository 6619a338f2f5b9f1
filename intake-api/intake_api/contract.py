"""The OpenAPI document: what FastAPI knows of the routes, with examples and every error that each can answer.

``python -m intake_api.contract`` prints it; docs/openapi.json is its copy, which a test compares.
"""

import argparse
import json
from http import HTTPStatus
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from fastapi import FastAPI

from intake_api.contract_examples import Schema, example_of

Operation = dict[str, Any]

ANY_ROUTE = (500, 503)
WITH_BODY = (408, 413, 422)
WITH_ACCOUNT = (401, 403, 429)
"""429: an API key has had its requests of this minute."""

_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_KINDS = {
    400: ("invalid-idempotency-key", "Idempotency-Key must be 1 to 255 printable ASCII characters"),
    401: ("not-authenticated", "send a valid access token or API key: Authorization: Bearer <token>"),
    403: ("not-allowed", "your role, or the scopes of your API key, do not allow this"),
    404: ("not-found", "there is no such thing"),
    408: ("body-too-slow", "the body did not arrive in time; send it again"),
    409: ("illegal-move", "a lead that is reached_out cannot become assigned"),
    410: ("resume-withdrawn", "the prospect has withdrawn the resume"),
    412: ("stale-etag", "the lead has changed since you read it; read it again and decide anew"),
    413: ("body-too-large", "the body is larger than the 65536 bytes that this route takes"),
    415: ("unsupported-body", "send application/json or multipart/form-data"),
    422: ("invalid-fields", "email must be one e-mail address, such as name@example.com"),
    429: ("too-many-requests", "too many requests; try again in 30 s"),
    500: ("internal-error", "something went wrong on our side; it was logged"),
    503: ("dependency-away", "a part of the system is away; repeat the request"),
}
_MEMBERS: dict[int, dict[str, Any]] = {
    409: {"current_status": "reached_out", "legal_statuses": ["retained", "declined"]},
    422: {"errors": [{"field": "email", "detail": "must be one e-mail address, such as name@example.com"}]},
}
_HEADERS = {
    401: {"WWW-Authenticate": {"description": "Bearer", "schema": {"type": "string"}}},
    429: {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}},
    503: {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}},
}
_METHODS = frozenset({"get", "put", "post", "patch", "delete"})


_COMPLETED: dict[str, Any] = {}
"""The document, once per process: making it takes some 0.2 s, and all applications have the same routes."""


def install(app: FastAPI) -> None:
    """Have the application serve the completed document."""
    of_routes = app.openapi

    def openapi() -> dict[str, Any]:
        if not _COMPLETED:
            _COMPLETED.update(complete(of_routes()))
        return _COMPLETED

    app.openapi = openapi  # type: ignore[method-assign]  # how FastAPI has it done


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """Add to each operation the errors that any route has, and to each body an example. Changes and returns it."""
    schemas: dict[str, Schema] = document["components"]["schemas"]
    for path in document["paths"].values():
        for method in _METHODS & path.keys():
            _complete_operation(path[method], schemas)
    return document


def _complete_operation(operation: Operation, schemas: dict[str, Schema]) -> None:
    responses = operation["responses"]
    statuses = {int(status) for status in responses if int(status) >= 400} | set(ANY_ROUTE)
    if "requestBody" in operation:
        statuses |= set(WITH_BODY)
        _add_examples(operation["requestBody"]["content"], schemas)
    if "security" in operation:
        statuses |= set(WITH_ACCOUNT)
    for status, response in responses.items():
        if int(status) < 400:
            _add_examples(response.get("content", {}), schemas)
    for status in sorted(statuses):
        responses[str(status)] = _problem_response(status)


def _add_examples(content: dict[str, Any], schemas: dict[str, Schema]) -> None:
    for media_type, body in content.items():
        if "json" in media_type or "form" in media_type:
            body.setdefault("example", example_of(body.get("schema", {}), schemas))


def _problem_response(status: int) -> dict[str, Any]:
    kind, detail = _KINDS[status]
    phrase = HTTPStatus(status).phrase
    example = {"type": f"urn:problem:{kind}", "title": phrase, "status": status, "detail": detail}
    response: dict[str, Any] = {
        "description": phrase,
        "content": {
            "application/problem+json": {"schema": _PROBLEM, "example": example | _MEMBERS.get(status, {})},
        },
    }
    if status in _HEADERS:
        response["headers"] = _HEADERS[status]
    return response


def document() -> dict[str, Any]:
    """The document of this code. It needs no settings and no other part of the system."""
    from intake_api.main import build  # noqa: PLC0415 - the application imports this module
    from intake_api.resume_store import FilesystemStore  # noqa: PLC0415 - same
    from intake_api.settings import IntakeSettings  # noqa: PLC0415 - same

    settings = IntakeSettings(
        environment="test",
        database_url="postgresql://nowhere",
        amqp_url="amqp://nowhere",
        auth_secret="x" * 32,
        link_key="x" * 32,
    )
    return build(settings, FilesystemStore(Path(gettempdir()) / "no-resumes", 1)).openapi()


def main() -> None:
    """Command line: ``python -m intake_api.contract [--output FILE]``."""
    parser = argparse.ArgumentParser(
        prog="python -m intake_api.contract",
        description="Write the API's OpenAPI document, as JSON (--json changes nothing: it is the only form).",
    )
    parser.add_argument("--output", type=Path, help="the file to write; default: standard output")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: the document is JSON")
    options = parser.parse_args()
    written = json.dumps(document(), indent=2, ensure_ascii=False) + "\n"
    if options.output:
        options.output.write_text(written, encoding="utf-8")
    else:
        print(written, end="")  # noqa: T201 - the document is what this command is for


if __name__ == "__main__":
    main()
