"""What the broker holds, asked past every proxy."""

from typing import Any
from urllib.parse import urlsplit

import aio_pika
import httpx

from e2e.stack import Stack

QUEUES = ("assignment.leads", "assignment.roster", "mailer.outreach", "intake.lead-status", "intake.dead-letters")
_STATES = ("messages", "messages_ready", "messages_unacknowledged")


async def queues(stack: Stack) -> dict[str, int]:
    """Messages in work and retry queues.

    Ready messages are counted by the broker now (a passive declaration); those in a consumer's hands come from the
    management API, whose figures are up to 5 s old. So do those that a queue holds back for good, in neither state.
    """
    counts: dict[str, int] = {}
    connection = await aio_pika.connect(stack.run["amqp_url"], timeout=10)
    async with connection:
        channel = await connection.channel()
        for queue in QUEUES:
            for name in (queue, f"{queue}.retry"):
                found = await channel.get_queue(name)
                counts[f"{name} ready"] = found.declaration_result.message_count or 0
    for row in await management(stack, "/api/queues"):
        total, ready, unacked = (int(row.get(name) or 0) for name in _STATES)
        counts[f"{row['name']} unacked"] = unacked
        counts[f"{row['name']} held"] = max(total - ready - unacked, 0)
    return counts


async def management(stack: Stack, path: str) -> Any:
    """One answer of RabbitMQ's management API."""
    run = stack.run
    address = urlsplit(run["amqp_url"])
    login = httpx.BasicAuth(address.username or "", address.password or "")
    async with httpx.AsyncClient(base_url=run["amqp_management_url"], auth=login, trust_env=False) as client:
        response = await client.get(path)
        response.raise_for_status()
        return response.json()
