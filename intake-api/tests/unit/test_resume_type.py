"""A resume's type is what its content says."""

import io

import pytest
from intake_api.resume_type import DOC, DOCX, ODT, PDF, RTF, TEXT, ResumeType, recognise

from .. import documents

OLE = bytes.fromhex("D0CF11E0A1B11AE1") + b"\0" * 500


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (documents.PDF, PDF),
        (documents.DOCX, DOCX),
        (documents.ODT, ODT),
        (b"{\\rtf1 resume}", RTF),
        (OLE + "WordDocument".encode("utf-16-le"), DOC),
        ("Zehn Jahre Erfahrung, mit Umlauten: äöü".encode(), TEXT),
        (("x" * 65535 + "é").encode(), TEXT),
        (OLE, None),
        (documents.archive({"a.txt": b"x"}), None),
        (b"PK\x03\x04 broken", None),
        (b"MZ\x90\x00", None),
        (b"caf\xe9 in latin-1", None),
        (b" \n\t", None),
        (b"", None),
    ],
)
def test_content_decides(content: bytes, expected: ResumeType | None) -> None:
    assert recognise(io.BytesIO(content), None) is expected


@pytest.mark.parametrize(
    ("filename", "taken"),
    [
        ("cv.pdf", True),
        ("CV.PDF", True),
        ("a/b\\cv.pdf", True),
        ("cv.docx", False),
        ("cv.pdf.exe", False),
        ("cv", True),
        ("cv.", True),
    ],
)
def test_a_file_name_may_not_say_otherwise(filename: str, taken: bool) -> None:
    assert (recognise(io.BytesIO(documents.PDF), filename) is PDF) is taken
