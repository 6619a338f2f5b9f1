"""Break the product in eight ways, each in a scratch copy, and see the named test go red; see `make mutation-matrix`.

Exits with 1 when a breakage survives, no longer applies, or turns its test red for another reason than its own.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict

from deploy.local.layout import ROOT, TOOLS
from mutation.breakages import BREAKAGES
from mutation.matrix import Row, matrix


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mutation", description=__doc__)
    names = [one.name for one in BREAKAGES]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"of: {' '.join(names)}")
    parser.add_argument("--json", action="store_true", help="for programs")
    return parser.parse_args(arguments)


def table(rows: Sequence[Row]) -> str:
    """The matrix as text, one line per breakage and changed file."""
    cells = [("breakage", "file", "test", "unbroken", "broken", "verdict", "seconds")]
    for row in rows:
        first, *others = row.breakage.files
        test = row.breakage.test.rpartition("::")[2]
        cells.append(
            (row.breakage.name, first, test, row.unbroken, row.broken or "-", row.verdict, f"{row.seconds:.1f}")
        )
        cells += [("", other, "", "", "", "", "") for other in others]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)


def as_json(rows: Sequence[Row]) -> str:
    """The matrix for programs."""
    found = [
        {
            **{key: value for key, value in asdict(row).items() if key != "breakage"},
            "breakage": row.breakage.name,
            "files": row.breakage.files,
            "test": row.breakage.test,
        }
        for row in rows
    ]
    return json.dumps(found, indent=2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the matrix; the exit code says whether every breakage was noticed."""
    options = _options(arguments)
    os.environ.setdefault("TEST_SERVICES", "embedded")
    chosen = [one for one in BREAKAGES if options.only is None or one.name in options.only]
    rows = []
    for row in matrix(ROOT, TOOLS / "mutation" / str(os.getpid()), chosen):
        rows.append(row)
        sys.stderr.write(f"{row.breakage.name}: {row.verdict}\n")
        if row.verdict != "killed":
            sys.stderr.write(f"{row.words}\n")
    sys.stdout.write(f"{as_json(rows) if options.json else table(rows)}\n")
    return int(any(row.verdict != "killed" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
