"""CSV that no spreadsheet takes for formulas (RFC 4180; OWASP, CSV Injection). Pure."""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable

_STARTS_FORMULA = re.compile(r"""(?:^|[\r\n])[\s'"]*[=+\-@|%]|^['\t\r\n]""")
MARK = "'"
"""What a cell begins with that would otherwise be run, and any cell that begins with it: take one away to read it."""


def safe_cell(text: str) -> str:
    """The text, marked when a spreadsheet could run it: full-width signs, and after quotes or line ends, too."""
    return MARK + text if _STARTS_FORMULA.search(unicodedata.normalize("NFKC", text)) else text


def original(cell: str) -> str:
    """The text that a cell was made of."""
    return cell.removeprefix(MARK)


def csv_lines(rows: Iterable[Iterable[str]]) -> str:
    """The rows as CSV lines, every cell safe and quoted."""
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(
        [safe_cell(cell) for cell in row] for row in rows
    )
    return buffer.getvalue()
