"""Looks for words everywhere that the product keeps or says something, as a data subject's auditor would."""

import asyncio
from collections.abc import Iterable, Sequence

import httpx

from e2e import evidence, objects
from e2e.stack import Stack


async def everywhere(stack: Stack, words: Sequence[str]) -> list[str]:
    """Where any of the words is: tables, objects, logs, metrics. Queues must be drained: ask `evidence.undrained`."""
    found = [hit for name in evidence.DATABASES for hit in await in_tables(stack, name, words)]
    found += await asyncio.to_thread(in_objects, stack, words)
    found += in_logs(stack, words)
    return found + await in_metrics(stack, words)


async def in_tables(stack: Stack, database: str, words: Sequence[str]) -> list[str]:
    """Rows of any table that hold one of the words, by table and row."""
    found = []
    async with evidence.database(stack, database) as connection:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        for (table,) in tables:
            for row in await connection.fetch(f'SELECT * FROM "{table}"'):  # noqa: S608 - the catalogue's own names
                text = " ".join(cell.decode("latin-1") if isinstance(cell, bytes) else str(cell) for cell in row)
                found += [f"{database}.{table}: {word}" for word in _in(text, words)]
    return found


def in_objects(stack: Stack, words: Sequence[str]) -> list[str]:
    """Objects that hold one of the words, in their key or as plain bytes."""
    return [f"object {key}: {word}" for key, text in objects.texts(stack) for word in _in(key + text, words)]


def in_logs(stack: Stack, words: Iterable[str]) -> list[str]:
    """Log lines of every process, infrastructure included, that hold one of the words."""
    return [hit for word in words for hit in evidence.log_hits(stack.log_folder, word)]


async def in_metrics(stack: Stack, words: Sequence[str]) -> list[str]:
    """Whose metrics hold one of the words."""
    found = []
    async with httpx.AsyncClient(trust_env=False) as client:
        for name, url in stack.run["ops_urls"].items():
            answer = await client.get(f"{url}/metrics")
            answer.raise_for_status()
            found += [f"metrics of {name}: {word}" for word in _in(answer.text, words)]
    return found


def _in(text: str, words: Iterable[str]) -> list[str]:
    lowered = text.lower()
    return [word for word in words if word.lower() in lowered]
