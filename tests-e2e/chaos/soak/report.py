"""What came of a soak: a file with everything, and one table for people."""

import json
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

from e2e import broker, evidence

from chaos.arena import Arena
from deploy.local.errors import StackError

BEGIN, END = "<!-- soak: begin -->", "<!-- soak: end -->"
"""The lines of a page between which a table is put."""

_ROWS = {
    "accepted": "submissions answered 201",
    "posted_twice": "prospects who posted from two windows at once, one lead each",
    "unknown": "attempts without an answer, repeated with their key",
    "lost": "lost",
    "doubled": "doubled",
    "stuck": "stuck",
    "twice": "mailed twice, unexplained",
    "twice_ambiguous": "mailed twice, flagged ambiguous",
    "ambiguous": "attempts flagged ambiguous",
    "repaired": "leads that a lost binding hid from a service, repaired",
    "extra_deliveries": "deliveries beyond one per effect",
    "drained_s": "seconds from the last fault to drained",
    "p99_post_s": "p99 of POST, seconds",
}


async def ran_on(arena: Arena) -> dict[str, str]:
    """Versions of what a soak runs on."""
    overview = await broker.management(arena.stack, "/api/overview")
    postgres: str = await evidence.fetch_value(arena.stack, "intake", "SHOW server_version")
    return {
        "Python": python_version(),
        "PostgreSQL": postgres.split(maxsplit=1)[0],
        "RabbitMQ": overview["rabbitmq_version"],
        "Erlang": overview["erlang_version"],
        **{name: version(name) for name in ("aio-pika", "faststream", "asyncpg", "aiosmtplib")},
    }


def table(result: Mapping[str, Any]) -> str:
    """The result as one Markdown table."""
    kinds = [counts for faults in result["faults"].values() for counts in faults.values()]
    landed, void = (sum(counts[how] for counts in kinds) for how in ("landed", "void"))
    rows = [
        ("result", result["result"]),
        ("length", f"{result['minutes']:g} min at {result['leads_per_s']:g} leads/s, two faults at a time"),
        *((words, result["figures"].get(name)) for name, words in _ROWS.items()),
        ("faults that hit work (and that did not, which count for nothing)", f"{landed} ({void})"),
        *((f"faults: {subject}", _told(faults)) for subject, faults in result["faults"].items()),
        ("seed, commit, date", f"{result['seed']}, {result['commit']}, {result['at'][:10]}"),
        ("machine", result["machine"]),
        ("versions", ", ".join(f"{name} {number}" for name, number in result["versions"].items())),
    ]
    return "\n".join(["| soak | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def _told(faults: Mapping[str, Mapping[str, int]]) -> str:
    return " · ".join(f"{kind} {counts['landed']} ({counts['void']})" for kind, counts in faults.items())


def machine() -> str:
    """The size of this machine, and how busy it is."""
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return f"{os.cpu_count()} cores, load average at the end {load}"


def write(result: Mapping[str, Any], folder: Path) -> Path:
    """Keep a result in a file of its own, and its table in `soak.md`; give the first."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"soak-{result['at'].replace(':', '')[:17]}-{result['seed']}.json"
    path.write_text(json.dumps(result, indent=2, default=str) + "\n", encoding="utf-8")
    (folder / "soak.md").write_text(table(result) + "\n", encoding="utf-8")
    return path


def put_into(page: Path, text: str | None) -> None:
    """Put a table between a page's two marks; with None only see that they are there.

    Raises StackError when the page has not got both, in their order.
    """
    content = page.read_text(encoding="utf-8") if page.is_file() else ""
    before, begin, rest = content.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise StackError(f"{page} has not got the lines {BEGIN} and {END}: a table goes between them")
    if text is not None:
        page.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
