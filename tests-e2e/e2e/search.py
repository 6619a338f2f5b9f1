"""Looks for words everywhere that the product keeps or says something, as a data subject's auditor would."""

import asyncio
from collections.abc import Iterable, Sequence

from e2e import evidence, leaks, objects
from e2e.stack import Stack


async def everywhere(stack: Stack, words: Sequence[str]) -> list[str]:
    """Where any of the words is: tables, objects, logs, metrics. Queues must be drained: ask `evidence.undrained`."""
    found = [hit for name in evidence.DATABASES for hit in await in_tables(stack, name, words)]
    found += await asyncio.to_thread(in_objects, stack, words)
    found += leaks.in_logs(stack.log_folder, words)
    return found + await leaks.in_metrics(stack, words)


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


def _in(text: str, words: Iterable[str]) -> list[str]:
    lowered = text.lower()
    return [word for word in words if word.lower() in lowered]
