"""What every answer that the tests get is held against: the statuses of the OpenAPI document, and the safe headers."""

import re
from functools import cache

import httpx
from intake_api.contract import document
from intake_api.middleware import SECURITY_HEADERS

FOR_ANY_PATH = {400, 405, 413}
"""A request that two servers could read differently, another method, a body where none is read: of no one route."""

Statuses = dict[str, set[int]]


@cache
def _paths() -> list[tuple[re.Pattern[str], Statuses]]:
    """Each path and what its operations answer, those that name most first, as the router finds them."""
    paths = sorted(document()["paths"].items(), key=lambda item: item[0].count("{"))
    return [
        (
            re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)),
            {method.upper(): {int(status) for status in operation["responses"]} for method, operation in item.items()},
        )
        for path, item in paths
    ]


def documented(method: str, path: str) -> set[int] | None:
    """The statuses of an operation; None where the document has none."""
    for pattern, statuses in _paths():
        if pattern.fullmatch(path):
            return statuses.get(method)
    return None


async def check(answer: httpx.Response) -> None:
    """Raise AssertionError for an answer that the document does not promise."""
    request = answer.request
    where = f"{request.method} {request.url.path} answers {answer.status_code}"
    statuses = documented(request.method, request.url.path)
    assert statuses is None or answer.status_code in statuses | FOR_ANY_PATH, f"{where}: not in docs/openapi.json"
    assert [name for name in SECURITY_HEADERS if name not in answer.headers] == [], where
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json", where
