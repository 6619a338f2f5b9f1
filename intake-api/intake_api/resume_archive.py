"""Archive-based documents (docx, odt), looked into without unpacking anything to disk and without parsing XML.

The bound holds for the sum of the declared sizes, entries that share bytes included; zipfile reads no more of an
entry than it declares and then compares checksums, so that a lie is a broken archive. Nothing nested is opened.
"""

import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

MAX_ENTRIES = 2_000
MAX_DIRECTORY_BYTES = 1024 * 1024
MAX_UNPACKED_BYTES = 100 * 1024 * 1024
_READ_BYTES = 64 * 1024
_LONGEST_NEEDLE = 32
_END = struct.Struct("<4s4H2LH")
_END_MAGIC = b"PK\x05\x06"
_LOCAL_MAGIC = b"PK\x03\x04"
_ENCRYPTED_BIT = 0x1
_XML = (".xml", ".rels", ".rdf")
_LARGEST_RELATIONS = 1024 * 1024
_RELATION = re.compile(rb"<Relationship\b[^>]*>")
_EMBEDDED = re.compile(r"(^|/)(embeddings|activeX)/|^Object \d+/|oleObject\d*\.bin$")
_MACROS = re.compile(r"vbaProject\.bin$|vbaData\.xml$")


BROKEN_ARCHIVE = (zipfile.BadZipFile, zlib.error, RuntimeError, OSError, ValueError, EOFError)
"""What zipfile raises of bytes that are broken, encrypted, packed in ways it does not know, or lie about themselves.

It wraps little of what it meets: NotImplementedError (unknown packing) and a missing password are RuntimeErrors, names
and offsets that make no sense are ValueErrors and OSErrors, a damaged stream is zlib's own error.
"""


class UnsafeResumeError(Exception):
    """The document is refused; the text says why and what to send instead."""


def open_archive(content: BinaryIO) -> zipfile.ZipFile:
    """Open an archive whose directory is small enough to be read. Raises UnsafeResumeError."""
    content.seek(0, 2)
    size = content.tell()
    content.seek(max(0, size - 65_535 - _END.size))
    tail = content.read()
    at = tail.rfind(_END_MAGIC)
    if at < 0 or len(tail) - at < _END.size:
        raise UnsafeResumeError("is a broken archive: save the document again and send that")
    *_, entries, directory_bytes, _, _ = _END.unpack_from(tail, at)
    if entries > MAX_ENTRIES or directory_bytes > MAX_DIRECTORY_BYTES:
        raise UnsafeResumeError(f"holds more than {MAX_ENTRIES} parts: save it as PDF and send that")
    try:
        return zipfile.ZipFile(content)
    except BROKEN_ARCHIVE as error:
        raise UnsafeResumeError("is a broken archive: save the document again and send that") from error


def inspect_archive(content: BinaryIO) -> tuple[str, ...]:
    """Check every entry; return what staff should know (flags). Raises UnsafeResumeError."""
    flags: set[str] = set()
    with open_archive(content) as archive:
        infos = archive.infolist()
        _check_directory(infos)
        try:
            for info in infos:
                _inspect_entry(archive, info, flags)
        except BROKEN_ARCHIVE as error:
            raise UnsafeResumeError("is a broken archive: save the document again and send that") from error
    return tuple(sorted(flags))


def _check_directory(infos: list[zipfile.ZipInfo]) -> None:
    names = [info.filename for info in infos]
    if len(names) > MAX_ENTRIES:
        raise UnsafeResumeError(f"holds more than {MAX_ENTRIES} parts: save it as PDF and send that")
    if len(set(names)) != len(names) or any(_leads_astray(name) for name in names):
        raise UnsafeResumeError("holds parts whose names lead elsewhere: save it as PDF and send that")
    if any(stat.S_ISLNK(info.external_attr >> 16) for info in infos):
        raise UnsafeResumeError("holds a link: save it as PDF and send that")
    if any(info.flag_bits & _ENCRYPTED_BIT for info in infos):
        raise UnsafeResumeError("is encrypted: remove its password and send it again")
    if any(info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED} for info in infos):
        raise UnsafeResumeError("is packed in a way that documents are not: save it as PDF and send that")
    if sum(info.file_size for info in infos) > MAX_UNPACKED_BYTES:
        raise UnsafeResumeError(f"unpacks to more than {MAX_UNPACKED_BYTES // 2**20} MiB: save it as PDF and send that")
    if any(_MACROS.search(name) for name in names):
        raise UnsafeResumeError("holds macros: save it without them and send it again")


def _leads_astray(name: str) -> bool:
    parts = name.split("/")
    return ".." in parts or name.startswith("/") or "\\" in name or ":" in parts[0] or "\0" in name


def _inspect_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo, flags: set[str]) -> None:
    """Read one entry to its end."""
    name, kept = info.filename, b""
    is_embedded = _EMBEDDED.search(name) is not None
    if is_embedded:
        flags.add("embedded-object")
    if name.startswith(("Basic/", "Scripts/")) and not info.is_dir():
        flags.add("macros")
    is_xml = name.lower().endswith(_XML)
    for before, chunk in _with_overlap(archive, info):
        if not before and not is_embedded and chunk.startswith(_LOCAL_MAGIC):
            raise UnsafeResumeError("holds another archive: save it as PDF and send that")
        if is_xml:
            _inspect_xml(name, (before + chunk).replace(b"\0", b""))  # UTF-16 reads as ASCII then
        if name.endswith(".rels") and len(kept) < _LARGEST_RELATIONS:
            kept += chunk
    if any(b'"External"' in tag and b"/hyperlink" not in tag for tag in _RELATION.findall(kept)):
        flags.add("external-reference")


def _with_overlap(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[tuple[bytes, bytes]]:
    before = b""
    with archive.open(info) as entry:
        while chunk := entry.read(_READ_BYTES):
            yield before, chunk
            before = (before + chunk)[-2 * _LONGEST_NEEDLE :]


def _inspect_xml(name: str, text: bytes) -> None:
    # Word processors write no DTD (old OpenOffice: one, in its manifest). Nothing here expands or fetches one.
    if b"<!ENTITY" in text or (b"<!DOCTYPE" in text and name != "META-INF/manifest.xml"):
        raise UnsafeResumeError("declares XML entities: save it as PDF and send that")
    if name == "[Content_Types].xml" and b"macroEnabled" in text:
        raise UnsafeResumeError("holds macros: save it without them and send it again")
    if name == "META-INF/manifest.xml" and b"encryption-data" in text:
        raise UnsafeResumeError("is encrypted: remove its password and send it again")
