"""Plain text: what a field may hold, whoever sends it."""

import unicodedata

_FORBIDDEN = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories: control, surrogate, private, unassigned, line and paragraph separators."""

_CONTROL = r"\x00-\x1f\x7f-\x9f"
PLAIN_PATTERN = f"^[^{_CONTROL}]*$"
"""What of this a JSON schema can say: no control characters."""
PLAIN_NOT_BLANK_PATTERN = rf"^[^{_CONTROL}]*[^\s{_CONTROL}][^{_CONTROL}]*$"
_CONTROL_IN_LINES = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
LINES_NOT_BLANK_PATTERN = rf"^[^{_CONTROL_IN_LINES}]*[^\s{_CONTROL_IN_LINES}][^{_CONTROL_IN_LINES}]*$"
"""The same for text of several lines."""


def has_controls(text: str) -> bool:
    """Whether the text holds characters that no database column, mail header or log line should see."""
    return any(unicodedata.category(character) in _FORBIDDEN for character in text)


def plain_text(text: str) -> str:
    """Return the text. Raises ValueError when it holds control characters."""
    if has_controls(text):
        raise ValueError("must not contain control characters")
    return text
