"""The ops port: alive is not ready, a missing dependency is named, a lead's state has no personal data of its own."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from service_chassis import ops
from service_chassis.ops import Check, DescribeLead, ops_app

LEAD = uuid4()


async def well() -> None:
    return


async def away() -> None:
    raise ConnectionRefusedError("CANARY 10.0.0.7")


async def silent() -> None:
    await asyncio.Event().wait()


async def describe(lead_id: UUID) -> dict[str, Any] | None:
    return {"lead_id": str(lead_id), "status": "assigned"} if lead_id == LEAD else None


async def get(
    path: str,
    *,
    ready: Mapping[str, Check] | None = None,
    alive: Mapping[str, Check] | None = None,
    describe_lead: DescribeLead | None = describe,
) -> httpx.Response:
    app = ops_app(ready=ready or {}, alive=alive or {}, describe_lead=describe_lead)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ops") as client:
        return await client.get(path)


async def test_ready_when_every_dependency_answers() -> None:
    answer = await get("/readyz", ready={"database": well, "broker": well})
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "checks": {"database": "ok", "broker": "ok"}}


async def test_not_ready_names_what_is_missing_by_type_and_not_by_text() -> None:
    answer = await get("/readyz", ready={"database": well, "broker": away})
    assert answer.status_code == 503
    assert answer.json() == {"status": "unavailable", "checks": {"database": "ok", "broker": "ConnectionRefusedError"}}
    assert "CANARY" not in answer.text


async def test_a_dependency_that_never_answers_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "CHECK_TIMEOUT_S", 0.01)
    answer = await get("/readyz", ready={"database": silent, "broker": well})
    assert answer.status_code == 503
    assert answer.json()["checks"] == {"database": "TimeoutError", "broker": "ok"}


async def test_alive_does_not_ask_for_dependencies() -> None:
    answer = await get("/livez", ready={"database": away}, alive={"tasks": well})
    assert answer.status_code == 200
    assert answer.json()["checks"] == {"tasks": "ok"}


async def test_not_alive_when_a_task_has_ended() -> None:
    assert (await get("/livez", alive={"tasks": away})).status_code == 503


async def test_metrics_are_prometheus_text() -> None:
    answer = await get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    for name in ("outbox_rows", "outbox_oldest_age_seconds", "messages_handled_total", "relay_unroutable_total"):
        assert f"# TYPE {name.removesuffix('_total')}" in answer.text.replace("_total ", " "), name


async def test_the_state_of_a_lead() -> None:
    assert (await get(f"/internal/leads/{LEAD}")).json() == {"lead_id": str(LEAD), "status": "assigned"}
    assert (await get(f"/internal/leads/{uuid4()}")).status_code == 404
    assert (await get("/internal/leads/7")).status_code == 422
    assert (await get(f"/internal/leads/{LEAD}", describe_lead=None)).status_code == 404


async def test_without_the_database_the_state_of_a_lead_is_503_and_names_it_by_type() -> None:
    async def describe_away(_lead_id: UUID) -> dict[str, Any] | None:
        raise ConnectionRefusedError("CANARY 10.0.0.7")

    answer = await get(f"/internal/leads/{LEAD}", describe_lead=describe_away)
    assert (answer.status_code, answer.json()) == (503, {"detail": "the database is away (ConnectionRefusedError)"})
