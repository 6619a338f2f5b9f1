"""What kind of document a resume is: told by its content, and its file name may not say otherwise.

Sniffing does not make a file safe (limits: README); it keeps programs, archives and pages out.
"""

import codecs
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from intake_api.resume_archive import BROKEN_ARCHIVE, UnsafeResumeError, open_archive

_OLE_MAGIC = bytes.fromhex("D0CF11E0A1B11AE1")
_ODT = b"application/vnd.oasis.opendocument.text"
_TEXT_CONTROLS = frozenset(range(32)) - {9, 10, 12, 13}
_READ_BYTES = 64 * 1024
_PDF_HEADER_REACH = 1024
"""Readers look for a PDF's header in so many first bytes: another type that has it there is two files in one."""
_MARKUP = (b"<!doctype", b"<html", b"<script", b"<svg", b"<?xml", b"#!")


@dataclass(frozen=True)
class ResumeType:
    """A kind of document that is taken: media type and the extensions it may have."""

    media_type: str
    extensions: tuple[str, ...]

    @property
    def extension(self) -> str:
        """The extension given to a resume that came without a file name."""
        return self.extensions[0]


PDF = ResumeType("application/pdf", (".pdf",))
DOCX = ResumeType("application/vnd.openxmlformats-officedocument.wordprocessingml.document", (".docx",))
ODT = ResumeType("application/vnd.oasis.opendocument.text", (".odt",))
DOC = ResumeType("application/msword", (".doc",))
RTF = ResumeType("application/rtf", (".rtf",))
TEXT = ResumeType("text/plain", (".txt", ".text", ".md"))

ACCEPTED = "pdf, docx, doc, odt, rtf or plain UTF-8 text"


def recognise(content: BinaryIO, filename: str | None) -> ResumeType | None:
    """Tell the type of ``content`` (seekable; left anywhere), or None when it is not a document we take.

    A file name whose extension belongs to another type makes it None too; one without an extension says nothing.
    """
    found = None if _hides_a_pdf(content) else _by_content(content)
    if found is None or not filename:
        return found
    extension = PurePosixPath(filename.replace("\\", "/")).suffix.lower()
    return found if not extension or extension in found.extensions else None


def _hides_a_pdf(content: BinaryIO) -> bool:
    content.seek(0)
    return content.read(_PDF_HEADER_REACH).find(b"%PDF-") > 0


def _by_content(content: BinaryIO) -> ResumeType | None:
    content.seek(0)
    head = content.read(_READ_BYTES)
    if head.startswith(b"%PDF-"):
        return PDF
    if head.startswith(b"{\\rtf"):
        return RTF
    if head.startswith(_OLE_MAGIC):
        return DOC if _is_word(content) else None
    if head.startswith(b"PK\x03\x04"):
        return _by_archive(content)
    is_markup = head.removeprefix(codecs.BOM_UTF8).lstrip().lower().startswith(_MARKUP)
    return TEXT if not is_markup and _is_text(content) else None


def _is_word(content: BinaryIO) -> bool:
    """An OLE file is a Word document when its directory names a WordDocument stream (UTF-16)."""
    content.seek(0)
    needle, tail = "WordDocument".encode("utf-16-le"), b""
    while chunk := content.read(_READ_BYTES):
        if needle in tail + chunk:
            return True
        tail = chunk[-len(needle) :]
    return False


def _by_archive(content: BinaryIO) -> ResumeType | None:
    try:
        with open_archive(content) as archive:
            names = archive.namelist()
            if "[Content_Types].xml" in names and "word/document.xml" in names:
                return DOCX
            if names[:1] == ["mimetype"]:
                with archive.open("mimetype") as kind:
                    return ODT if kind.read(len(_ODT) + 1) == _ODT else None
    except (UnsafeResumeError, *BROKEN_ARCHIVE):
        return None
    return None


def _is_text(content: BinaryIO) -> bool:
    content.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    seen = False
    try:
        while chunk := content.read(_READ_BYTES):
            if not _TEXT_CONTROLS.isdisjoint(chunk):
                return False
            seen = bool(decoder.decode(chunk).strip()) or seen
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return seen
