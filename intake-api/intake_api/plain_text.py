"""Plain text: what a field may hold, whoever sends it."""

import unicodedata

_FORBIDDEN = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories: control, surrogate, private, unassigned, line and paragraph separators."""


def has_controls(text: str) -> bool:
    """Whether the text holds characters that no database column, mail header or log line should see."""
    return any(unicodedata.category(character) in _FORBIDDEN for character in text)


def plain_text(text: str) -> str:
    """Return the text. Raises ValueError when it holds control characters."""
    if has_controls(text):
        raise ValueError("must not contain control characters")
    return text
