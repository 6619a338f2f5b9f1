"""Attorneys as a test wants them: changed through the API, and put back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from e2e import evidence
from e2e.eventually import eventually
from e2e.stack import Stack


async def attorneys(staff: httpx.AsyncClient) -> list[dict[str, Any]]:
    response = await staff.get("/api/v1/attorneys")
    assert response.status_code == 200, response.text
    items: list[dict[str, Any]] = response.json()["items"]
    return items


async def change(staff: httpx.AsyncClient, attorney_id: str, **fields: object) -> dict[str, Any]:
    response = await staff.patch(f"/api/v1/attorneys/{attorney_id}", json=fields)
    assert response.status_code == 200, response.text
    changed: dict[str, Any] = response.json()
    return changed


async def add(staff: httpx.AsyncClient, name: str, email: str) -> dict[str, Any]:
    response = await staff.post("/api/v1/attorneys", json={"name": name, "email": email})
    assert response.status_code == 201, response.text
    added: dict[str, Any] = response.json()
    return added


async def replicated(stack: Stack, staff: httpx.AsyncClient) -> None:
    """Wait until the assignment-worker's roster says what the API says."""
    wanted = {(one["id"], one["available"], one["capacity"]) for one in await attorneys(staff)}

    async def replica() -> set[tuple[str, bool, int | None]]:
        rows = await evidence.fetch(stack, "assignment", "SELECT id, available, capacity FROM attorneys")
        return {(str(row["id"]), row["available"], row["capacity"]) for row in rows}

    await eventually(replica, lambda roster: roster == wanted, what="the roster is replicated")


@asynccontextmanager
async def everybody_off(stack: Stack, staff: httpx.AsyncClient) -> AsyncIterator[list[dict[str, Any]]]:
    """Nobody takes leads; afterwards those who did do again, and those who came since do not."""
    before = [one for one in await attorneys(staff) if one["available"]]
    for one in before:
        await change(staff, one["id"], available=False)
    await replicated(stack, staff)
    try:
        yield before
    finally:
        known = {one["id"]: one for one in before}
        for one in await attorneys(staff):
            was = known.get(one["id"])
            await change(staff, one["id"], available=was is not None, capacity=was["capacity"] if was else None)
        await replicated(stack, staff)
