"""Reading what the broker delivers when a property or a header of it is not what AMQP promises.

The client library reads short strings (a message's id, type, ...) and the keys of header tables strictly as UTF-8,
and timestamps only up to the year 9999; the broker checks neither. One such message ends the connection before any
of our code sees it, returns with the next one, and ends that too: its queue stands still for ever. Here such text
is read with its odd bytes spelled out in hexadecimal, and such a time as none: the message is heard, and given up.
"""

from datetime import datetime

from pamqp import common, decode


def accept_any_message() -> None:
    """Replace the strict readers, for every connection of this process. Safe to repeat."""
    decode.METHODS["shortstr"] = _short_string
    decode.METHODS["table"] = decode.TABLE_MAPPING[b"F"] = _table
    decode.METHODS["timestamp"] = decode.TABLE_MAPPING[b"T"] = _timestamp


def _short_string(value: bytes) -> tuple[int, str]:
    end = 1 + value[0]
    return end, _text(value[1:end])


def _table(value: bytes) -> tuple[int, common.FieldTable]:
    table: common.FieldTable = {}
    offset, end = 4, 4 + int.from_bytes(value[:4], "big")
    if end > len(value):
        raise ValueError("a field table is longer than its frame")
    while offset < end:
        length, key = _short_string(value[offset:end])
        offset += length
        length, table[key] = decode.embedded_value(value[offset:end])
        offset += length
    return end, table


def _timestamp(value: bytes) -> tuple[int, datetime | None]:
    try:
        return decode.timestamp(value)
    except (ValueError, OverflowError, OSError):
        return 8, None


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", errors="backslashreplace")
