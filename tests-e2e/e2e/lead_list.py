"""The list of leads as the firm's staff are shown it: page by page through the public API."""

from datetime import datetime

from e2e.clients import http_client, log_in
from e2e.stack import Stack

_PAGE = 500


async def read(stack: Stack, since: datetime) -> dict[str, tuple[str, str | None]]:
    """Status and owner, by id, of every lead made at ``since`` (database time) or later."""
    found: dict[str, tuple[str, str | None]] = {}
    question = {
        "created_from": since.isoformat(),
        "limit": str(_PAGE),
        "total": "false",
        "fields": "status,assigned_to",
    }
    async with http_client(stack) as client:
        client.headers["Authorization"] = f"Bearer {await log_in(client, stack)}"
        cursor: str | None = None
        while True:
            asked = {**question, "cursor": cursor} if cursor else question
            answer = await client.get("/api/v1/leads", params=asked)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            for lead in page["items"]:
                assert lead["id"] not in found, f"lead {lead['id']} is on two pages"
                found[lead["id"]] = (lead["status"], lead["assigned_to"])
            cursor = page["next_cursor"]
            if not cursor:
                return found
