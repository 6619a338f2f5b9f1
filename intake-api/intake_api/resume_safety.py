"""What in a resume is dangerous: refused when a resume never needs it, flagged for staff when real ones have it.

The table of what is refused and what is flagged is in docs/security.md. Looking for marks does not make a
file safe: a scanner (`scanner.py`) is for known malware, and staff open resumes as strangers' files.
"""

import re
import zipfile
import zlib
from typing import BinaryIO

from intake_api.resume_archive import UnsafeResumeError, inspect_archive
from intake_api.resume_type import DOC, DOCX, ODT, PDF, RTF, ResumeType

_PDF_STREAM = re.compile(rb"stream\r?\n(.*?)endstream", re.DOTALL)
_PDF_HEX = re.compile(rb"#([0-9A-Fa-f]{2})")
_PDF_MARKS = {
    "active-content": re.compile(rb"/(JavaScript|JS|Launch|RichMedia|XFA)(?![A-Za-z0-9])"),
    "embedded-object": re.compile(rb"/EmbeddedFiles?(?![A-Za-z0-9])"),
    "encrypted": re.compile(rb"/Encrypt(?![A-Za-z0-9])"),
}
_OBJECT_STREAM_REACH = 300
_OBJECT_STREAM_BYTES = 1024 * 1024
_OBJECT_STREAMS_BYTES = 16 * 1024 * 1024
_OLE_MARKS = {"macros": ("_VBA_PROJECT", "Macros"), "embedded-object": ("ObjectPool",)}
_OLE_SECTOR = 512
_WORD_MAGIC = b"\xec\xa5"
_WORD_ENCRYPTED_BIT = 0x01


def inspect(content: BinaryIO, kind: ResumeType) -> tuple[str, ...]:
    """Look into a document of a known type; return flags for staff, sorted. Raises UnsafeResumeError."""
    if kind in {DOCX, ODT}:
        return inspect_archive(content)
    content.seek(0)
    if kind is not DOC and zipfile.is_zipfile(content):
        raise UnsafeResumeError("is two kinds of file in one: save it as PDF and send that")
    content.seek(0)
    if kind is PDF:
        return _pdf(content.read())
    if kind is DOC:
        return _ole(content.read())
    if kind is RTF:
        return ("embedded-object",) if re.search(rb"\\obj(ect|data)\b", content.read()) else ()
    return ()


def _pdf(data: bytes) -> tuple[str, ...]:
    """Names outside of streams, and those in compressed object streams as far as the bound goes."""
    text = bytearray(_PDF_STREAM.sub(b"", data))
    left = _OBJECT_STREAMS_BYTES
    for found in _PDF_STREAM.finditer(data):
        if left <= 0 or b"/ObjStm" not in data[max(0, found.start() - _OBJECT_STREAM_REACH) : found.start()]:
            continue
        try:
            unpacked = zlib.decompressobj().decompress(found.group(1), min(left, _OBJECT_STREAM_BYTES))
        except zlib.error:
            continue  # encrypted or filtered otherwise: its marks stay unseen (docs/security.md)
        left -= len(unpacked)
        text += unpacked
    plain = _PDF_HEX.sub(lambda match: bytes([int(match.group(1), 16)]), bytes(text))
    return tuple(sorted(flag for flag, mark in _PDF_MARKS.items() if mark.search(plain)))


def _ole(data: bytes) -> tuple[str, ...]:
    flags = {
        flag for flag, names in _OLE_MARKS.items() for name in names if (name.encode("utf-16-le") + b"\0\0") in data
    }
    for at in range(0, len(data) - 12, _OLE_SECTOR):
        if data[at : at + 2] == _WORD_MAGIC and data[at + 11] & _WORD_ENCRYPTED_BIT:
            flags.add("encrypted")
    return tuple(sorted(flags))
