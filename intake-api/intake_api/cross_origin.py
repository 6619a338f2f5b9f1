"""Who may call the public form's routes from a page of another origin (CORS), and frame its pages.

Browsers keep everybody else's pages from reading an answer. Access is by bearer token, which no page of another
origin has and no browser adds by itself: cookies are neither set nor read, and Authorization is no allowed header.
"""

from collections.abc import Sequence
from typing import TypedDict

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from intake_api.problems import problem

PREFLIGHT_S = 600


class CrossOriginOptions(TypedDict):
    """What Starlette's middleware is given."""

    allow_origins: Sequence[str]
    allow_methods: Sequence[str]
    allow_headers: Sequence[str]
    expose_headers: Sequence[str]
    max_age: int


def cross_origin(origins: Sequence[str]) -> CrossOriginOptions:
    """What pages of these origins may do: ask for a form token, submit, use a prospect's link, and read the answer."""
    return {
        "allow_origins": origins,
        "allow_methods": ["GET", "POST"],
        "allow_headers": ["Content-Type", "Idempotency-Key", "Prospect-Link"],
        "expose_headers": ["Location", "Retry-After", "Idempotency-Replayed"],
        "max_age": PREFLIGHT_S,
    }


class CrossOrigin(CORSMiddleware):
    """Starlette's middleware, with its refusals as problem details."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a preflight request."""
        answer = super().preflight_response(request_headers)
        if answer.status_code < 400:
            return answer
        return problem(
            400,
            "cross-origin-refused",
            "pages of this origin may not make this request: INTAKE_EMBED_ORIGINS lists those that may",
            headers={"Vary": "Origin"},
        )
