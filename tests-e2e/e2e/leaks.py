"""I15: words of a prospect where they must never be: logs and metrics. (Bodies of dead letters: `evidence`.)"""

import re
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import httpx

from e2e.eventually import eventually
from e2e.stack import Stack

_FOREIGN_LOGS = ("mail.log",)  # the development mail server says whom it got mail for; it is no part of the product
_BROKER_LOG = re.compile(r"rabbitmq|leads\w*@")
_ANSWERS_WITHIN = 30.0


def in_logs(folder: Path, words: Iterable[str], broker_words: Iterable[str] | None = None) -> list[str]:
    """Log lines that contain one of the words, shortened; the broker's own logs are searched for ``broker_words`` only.

    A crash report of RabbitMQ prints the message that the process had in hand (docs/operations.md), and name and
    address are in the contract of messages: its logs are judged as the bodies are. None: for all words.
    """
    hits, everything = [], [word.lower() for word in words]
    of_broker = everything if broker_words is None else [word.lower() for word in broker_words]
    for log in sorted(folder.glob("*.log*")):
        if log.name in _FOREIGN_LOGS:
            continue
        wanted = of_broker if _BROKER_LOG.match(log.name) else everything
        content = log.read_text(encoding="utf-8", errors="replace")
        lowered = content.lower()
        if any(word in lowered for word in wanted):
            lines = content.splitlines()
            hits += [f"{log.name}: {line[:200]}" for line in lines if any(word in line.lower() for word in wanted)]
    return hits


async def in_metrics(stack: Stack, words: Sequence[str]) -> list[str]:
    """Whose metrics hold one of the words."""
    found = []
    async with httpx.AsyncClient(trust_env=False) as client:
        for name, url in stack.run["ops_urls"].items():
            text = await eventually(partial(_metrics, client, url), within=_ANSWERS_WITHIN, what=f"{name} answers")
            found += [f"metrics of {name}: {word}" for word in words if word.lower() in text.lower()]
    return found


async def _metrics(client: httpx.AsyncClient, url: str) -> str:
    """Empty while the process starts again."""
    try:
        answer = await client.get(f"{url}/metrics")
    except httpx.TransportError:
        return ""
    answer.raise_for_status()
    return answer.text
