"""What in a resume is refused and what is flagged (S03-S06): real documents made here, dangerous ones too."""

import io
import socket
import stat
import struct
import threading
import zipfile
import zlib

import pytest
from intake_api.exceptions import InvalidFieldsError
from intake_api.resume_archive import MAX_UNPACKED_BYTES, UnsafeResumeError, inspect_archive
from intake_api.resume_safety import inspect
from intake_api.resume_type import DOC, DOCX, ODT, PDF, RTF, TEXT, recognise
from intake_api.submission import NewSubmission, check

from .. import documents
from ..documents import archive

TYPES, BODY = "[Content_Types].xml", "word/document.xml"
PARTS = {TYPES: b"<Types/>", BODY: b"<w:document/>"}


def submitted(content: bytes, filename: str | None) -> NewSubmission:
    fields = {"first_name": "A", "last_name": "B", "email": "a@b.example"}
    return check(fields, io.BytesIO(content), filename, limit=20_000_000)


def refusal(content: bytes, filename: str | None = None) -> tuple[str, int]:
    with pytest.raises(InvalidFieldsError) as raised:
        submitted(content, filename)
    (error,) = raised.value.errors
    assert error.field == "resume"
    return error.detail, error.status


def docx(**parts: bytes) -> bytes:
    return archive({**PARTS, **{name.replace("__", "/"): value for name, value in parts.items()}})


@pytest.mark.parametrize(
    ("content", "filename"),
    [
        (b"MZ\x90\x00\x03 a program", "cv.pdf"),
        (documents.PDF, "cv.pdf.exe"),
        (documents.PDF, "cv.pdf\0.exe"),
        (documents.PDF, "cv.pdf%00.exe"),
        (documents.PDF, "CV.PDF.EXE"),
        (documents.PDF, "cv\u202efdp.exe"),
        (documents.PDF, "cv.exe."),
        (documents.PDF, "cv.exe "),
        (documents.PDF, "cv.docx"),
        (documents.PDF + documents.DOCX, "cv.pdf"),
        (b"<html><script>1</script>%PDF-1.4", "cv.pdf"),
        (b"<html><script>1</script>%PDF-1.4", "cv.txt"),
        (b"\n <!DOCTYPE html><p>", "cv.txt"),
        (b"#!/bin/sh\nrm -r x", "cv.txt"),
        (b"{\\rtf1 x}" + documents.DOCX, "cv.rtf"),
        (b"A text." + b" " * 600 + b"%PDF-1.7", "cv.txt"),
    ],
)
def test_s03_content_and_extension_must_be_of_one_accepted_type(content: bytes, filename: str) -> None:
    assert refusal(content, filename)[1] == 415


@pytest.mark.parametrize("filename", ["cv.PdF", "my cv.pdf ", "cv", None, "cv\u202eexe.pdf"])
def test_s03_ordinary_names_are_taken_and_shown_without_tricks(filename: str | None) -> None:
    shown = submitted(documents.PDF, filename).resume.filename
    assert "\u202e" not in shown


def packed(size: int) -> bytes:
    return archive({**PARTS, "word/x.bin": b"\0" * size}, zipfile.ZIP_DEFLATED)


def test_s04_a_bomb_is_refused_by_its_declared_size() -> None:
    bomb = packed(MAX_UNPACKED_BYTES + 1)
    assert len(bomb) < 200_000
    assert "unpacks to more than" in refusal(bomb)[0]


def test_s04_an_archive_that_lies_about_its_sizes_is_refused() -> None:
    bomb = bytearray(packed(1_000_000))
    declared = bomb.rindex(b"PK\x01\x02") + 24  # uncompressed size in the last entry's directory record
    bomb[declared : declared + 4] = struct.pack("<L", 10)
    assert "broken archive" in refusal(bytes(bomb))[0]


def damaged(document: bytes, entry: str) -> bytes:
    """The document with the first bytes of an entry's stream overwritten: no deflate stream begins like that."""
    at = document.index(entry.encode()) + len(entry)
    return document[:at] + b"\xff" * 8 + document[at + 8 :]


def test_s04_a_damaged_stream_is_a_broken_archive() -> None:
    whole = archive({**PARTS, BODY: b"<w:document/>" * 1000}, zipfile.ZIP_DEFLATED)
    assert "broken archive" in refusal(damaged(whole, BODY))[0]


def test_s04_a_damaged_stream_that_should_tell_the_type_tells_none() -> None:
    whole = archive({"mimetype": b"application/vnd.oasis.opendocument.text" * 50}, zipfile.ZIP_DEFLATED)
    assert refusal(damaged(whole, "mimetype"), "cv.odt")[1] == 415


def test_s04_entries_that_share_bytes_are_counted_as_often_as_they_are_read() -> None:
    with pytest.raises(UnsafeResumeError, match="unpacks to more than"):
        inspect_archive(io.BytesIO(_overlapping(200, 1024 * 1024)))


def _overlapping(times: int, size: int) -> bytes:
    """An archive whose directory names one compressed entry ``times`` times."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(b"\0" * size) + packer.flush()
    crc = zlib.crc32(b"\0" * size)
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 0, crc, len(packed), size, 1, 0) + b"a" + packed
    directory = b"".join(
        struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 0, crc, len(packed), size, len(name), 0, 0, 0, 0, 0, 0)
        + name
        for name in (f"a{number}".encode() for number in range(times))
    )
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, times, times, len(directory), len(local), 0)
    return local + directory + end


def test_s04_too_many_entries_are_refused_before_they_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    many = archive({**PARTS, **{f"word/{number}": b"" for number in range(3_000)}})
    monkeypatch.setattr(zipfile, "ZipFile", None)
    with pytest.raises(UnsafeResumeError, match="parts"):
        inspect_archive(io.BytesIO(many))


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "word/../../x", "C:/x", "word\\..\\x"])
def test_s04_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(UnsafeResumeError, match="lead elsewhere"):
        inspect_archive(io.BytesIO(archive({**PARTS, name: b"x"})))


def test_s04_a_symbolic_link_is_refused() -> None:
    buffer = io.BytesIO(documents.DOCX)
    with zipfile.ZipFile(buffer, "a") as file:
        link = zipfile.ZipInfo("word/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
    assert "link" in refusal(buffer.getvalue())[0]


def test_s04_a_nested_archive_is_refused_and_an_embedded_document_flagged() -> None:
    assert "another archive" in refusal(docx(word__more=archive({"a": b"x"})))[0]
    assert submitted(docx(word__embeddings__table=archive({"a": b"x"})), "cv.docx").resume.flags == ("embedded-object",)


def test_s04_an_encrypted_document_is_refused() -> None:
    locked = bytearray(documents.DOCX)
    locked[locked.rindex(b"PK\x01\x02") + 8] |= 1
    assert "encrypted" in refusal(bytes(locked))[0]
    manifest = b'<manifest:manifest><manifest:encryption-data manifest:checksum="x"/></manifest:manifest>'
    odt = archive({"mimetype": b"application/vnd.oasis.opendocument.text", "META-INF/manifest.xml": manifest})
    assert "encrypted" in refusal(odt)[0]


BILLION_LAUGHS = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'


@pytest.mark.parametrize(
    "text", [BILLION_LAUGHS, b" " * 65_530 + BILLION_LAUGHS, BILLION_LAUGHS.decode().encode("utf-16")]
)
def test_s05_entities_are_refused_and_never_expanded(text: bytes) -> None:
    assert "XML entities" in refusal(archive({**PARTS, "word/styles.xml": text}))[0]


def test_s05_an_external_entity_is_never_fetched() -> None:
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.settimeout(0.3)
        hits: list[object] = []
        listener = threading.Thread(target=lambda: _accept(canary, hits))
        listener.start()
        url = f"http://127.0.0.1:{canary.getsockname()[1]}/x"
        text = f'<!DOCTYPE x SYSTEM "{url}"><x/>'.encode()
        assert "XML entities" in refusal(archive({**PARTS, BODY: text}))[0]
        listener.join()
    assert hits == []


def _accept(canary: socket.socket, hits: list[object]) -> None:
    try:
        hits.append(canary.accept())
    except TimeoutError:
        return


def test_s06_macros_are_refused_in_a_type_that_has_none() -> None:
    assert "macros" in refusal(docx(**{"word__vbaProject.bin": b"x"}))[0]
    renamed = archive({TYPES: b"application/vnd.ms-word.document.macroEnabled.main+xml", BODY: b"<w/>"})
    assert "macros" in refusal(renamed, "cv.docx")[0]


def pdf(inner: bytes) -> bytes:
    return documents.PDF.replace(b"/Type/Catalog", b"/Type/Catalog" + inner)


HIDDEN = zlib.compress(b"1 0 <</S/JavaScript/JS(app.alert(1))>>")
OLE = bytes.fromhex("D0CF11E0A1B11AE1") + b"\0" * 504 + "WordDocument".encode("utf-16-le")


@pytest.mark.parametrize(
    ("content", "flags"),
    [
        (documents.PDF, ()),
        (pdf(b"/OpenAction<</S/JavaScript/JS(app.alert(1))>>"), ("active-content",)),
        (pdf(b"/OpenAction<</S/J#61vaScript>>"), ("active-content",)),
        (pdf(b"/AA<</S/Launch>>"), ("active-content",)),
        (pdf(b"/Names<</EmbeddedFiles 3 0 R>>"), ("embedded-object",)),
        (pdf(b"/Encrypt 5 0 R"), ("encrypted",)),
        (documents.PDF + b"<</Type/ObjStm>>stream\n" + HIDDEN + b"\nendstream", ("active-content",)),
        (documents.PDF + b"<</Type/XObject>>stream\n /JS /Launch \nendstream", ()),
        (b"{\\rtf1 {\\object\\objdata 00}}", ("embedded-object",)),
        (OLE, ()),
        (OLE + "_VBA_PROJECT".encode("utf-16-le") + b"\0\0", ("macros",)),
        (OLE.ljust(1024, b"\0") + b"\xec\xa5" + b"\0" * 9 + b"\x01" + b"\0" * 50, ("encrypted",)),
        (documents.DOCX, ()),
        (documents.ODT, ()),
        (archive({"mimetype": b"application/vnd.oasis.opendocument.text", "Basic/a.xml": b"<x/>"}), ("macros",)),
        (
            docx(**{"word___rels__document.xml.rels": b'<Relationship TargetMode="External" Type="x/hyperlink"/>'}),
            (),
        ),
        (
            docx(**{"word___rels__document.xml.rels": b'<Relationship TargetMode="External" Type="template"/>'}),
            ("external-reference",),
        ),
    ],
)  # fmt: skip
def test_s06_active_content_is_flagged_for_staff(content: bytes, flags: tuple[str, ...]) -> None:
    assert submitted(content, None).resume.flags == flags


def test_every_accepted_type_is_taken_with_its_extension() -> None:
    samples = {
        DOCX: documents.DOCX, ODT: documents.ODT, DOC: OLE, RTF: b"{\\rtf1 x}", TEXT: b"A text.", PDF: documents.PDF,
    }  # fmt: skip
    for kind, content in samples.items():
        assert recognise(io.BytesIO(content), f"cv{kind.extension}") is kind
        assert inspect(io.BytesIO(content), kind) == ()
