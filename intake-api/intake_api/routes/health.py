"""Health: what a load balancer, an orchestrator and a person ask."""

from collections.abc import Mapping

from fastapi import APIRouter
from service_chassis.database import ping
from service_chassis.ops import Check, run_checks
from sqlalchemy import text
from starlette.responses import JSONResponse

from intake_api.routes.context import Outside, World

router = APIRouter(tags=["health"])

_OUTBOX_AGE = text(
    "SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 FROM outbox WHERE parked_at IS NULL"
)


def readiness_checks(world: Outside) -> Mapping[str, Check]:
    """What the HTTP process needs to take leads. RabbitMQ is not among it: events wait in the outbox."""

    async def database() -> None:
        await ping(world.health_engine)

    return {"database": database, "storage": world.store.check}


@router.get("/api/v1/healthcheck")
async def healthcheck(world: World) -> JSONResponse:
    """Say ok while leads can be stored; RabbitMQ being away shows as the age of the outbox, not as an error."""
    checks = readiness_checks(world)
    results: dict[str, object] = dict(await run_checks({"database": checks["database"]}))
    ok = results["database"] == "ok"
    if ok:
        async with world.health_engine.connect() as connection:
            results["outbox_oldest_age_seconds"] = await connection.scalar(_OUTBOX_AGE)
    return JSONResponse({"status": "ok" if ok else "unavailable", "checks": results}, 200 if ok else 503)


@router.get("/livez")
async def livez() -> JSONResponse:
    """Say that the event loop is alive."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz")
async def readyz(world: World) -> JSONResponse:
    """Say whether requests can be served, naming each missing dependency."""
    results = await run_checks(readiness_checks(world))
    ok = all(result == "ok" for result in results.values())
    return JSONResponse({"status": "ok" if ok else "unavailable", "checks": results}, 200 if ok else 503)
