"""Small real documents, made here."""

import base64
import io
import zipfile
from typing import Any

PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n"
    b"trailer<</Root 1 0 R>>\n%%EOF\n"
)


def archive(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return buffer.getvalue()


DOCX = archive({"[Content_Types].xml": b"<Types/>", "word/document.xml": b"<w:document/>"})
ODT = archive({"mimetype": b"application/vnd.oasis.opendocument.text", "content.xml": b"<office/>"})


def lead_json(document: bytes = PDF, /, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "first_name": "John",
        "last_name": "Doe",
        "email": "john.doe@example.com",
        "resume": base64.b64encode(document).decode(),
    }
    fields.update(changes)
    return {name: value for name, value in fields.items() if value is not ...}
