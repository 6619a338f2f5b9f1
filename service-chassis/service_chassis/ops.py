"""The ops port of a process: for operators and orchestrators, never for the public.

- ``/livez``: the event loop and the tasks are alive. Not whether dependencies are: restarting a process
  does not mend a database.
- ``/readyz``: 200, or 503 naming each missing dependency.
- ``/metrics``: Prometheus.
- ``/internal/leads/{id}``: this service's state of a lead, without personal data; 503 without its database.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service_chassis.transient import is_dependency_away

Check = Callable[[], Awaitable[None]]
"""Returns when all is well, raises when it is not."""

DescribeLead = Callable[[UUID], Awaitable[dict[str, Any] | None]]

CHECK_TIMEOUT_S = 2.0


async def run_checks(checks: Mapping[str, Check]) -> dict[str, str]:
    """Run all checks at once; each name maps to ``ok`` or the type of the error."""

    async def one(check: Check) -> str:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                await check()
        except Exception as error:
            return type(error).__name__
        return "ok"

    results = await asyncio.gather(*(one(check) for check in checks.values()))
    return dict(zip(checks, results, strict=True))


def ops_app(
    *,
    ready: Mapping[str, Check],
    alive: Mapping[str, Check],
    describe_lead: DescribeLead | None = None,
) -> Starlette:
    """Build the ops application of one process."""

    async def livez(_request: Request) -> Response:
        return _report(await run_checks(alive))

    async def readyz(_request: Request) -> Response:
        return _report(await run_checks(ready))

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    async def lead(request: Request) -> Response:
        try:
            lead_id = UUID(request.path_params["lead_id"])
        except ValueError:
            return JSONResponse({"detail": "lead_id must be a uuid"}, status_code=422)
        try:
            found = await describe_lead(lead_id) if describe_lead is not None else None
        except Exception as error:
            if not is_dependency_away(error):
                raise
            return JSONResponse({"detail": f"the database is away ({type(error).__name__})"}, status_code=503)
        if found is None:
            return JSONResponse({"detail": "this service knows no such lead"}, status_code=404)
        return JSONResponse(found)

    return Starlette(
        routes=[
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            Route("/internal/leads/{lead_id}", lead),
        ]
    )


def _report(results: dict[str, str]) -> JSONResponse:
    ok = all(result == "ok" for result in results.values())
    body = {"status": "ok" if ok else "unavailable", "checks": results}
    return JSONResponse(body, status_code=200 if ok else 503)
