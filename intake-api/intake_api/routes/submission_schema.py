"""The body of a submission as OpenAPI describes it: FastAPI does not parse it (`uploads.py` does)."""

from typing import Any

from intake_api.submission import FILENAME_LENGTH, HONEYPOT, NAME_LENGTH
from intake_api.submission_details import MESSAGE_LENGTH, PHONE_LENGTH, REFERRER_LENGTH, SHORT_LENGTH


def _text(longest: int, example: str, description: str = "") -> dict[str, Any]:
    described = {"description": description} if description else {}
    return {"type": "string", "maxLength": longest, "examples": [example], **described}


_FIELDS = {
    "first_name": _text(NAME_LENGTH, "John"),
    "last_name": _text(NAME_LENGTH, "Doe"),
    "email": {"type": "string", "format": "email", "maxLength": 254, "examples": ["john.doe@example.com"]},
    "phone": _text(PHONE_LENGTH, "+1 212 555 0100", "Kept in E.164, without an extension"),
    "message": _text(MESSAGE_LENGTH, "I was dismissed without notice."),
    "practice_area": _text(SHORT_LENGTH, "employment"),
    "language": _text(SHORT_LENGTH, "en", "Language tag (BCP 47)"),
    "source": _text(SHORT_LENGTH, "website"),
    "referrer": _text(REFERRER_LENGTH, "https://www.example.com/contact"),
    "campaign": _text(SHORT_LENGTH, "spring"),
    "consent": _text(SHORT_LENGTH, "2026-01", "Version of the text that was agreed to; absent: no consent"),
    "consent_text": _text(MESSAGE_LENGTH, "I agree that the firm stores my data.", "That text, as it was shown"),
    "form_token": {"type": "string", "description": "From GET /api/v1/forms/token, for forms that people fill in"},
    HONEYPOT: {"type": "string", "description": "Hidden from people and left empty by them"},
}
_REQUIRED = ["first_name", "last_name", "email", "resume"]

_RESUME_IN_JSON: dict[str, Any] = {
    "resume": {"type": "string", "contentEncoding": "base64", "minLength": 4, "description": "At most 10 MiB"},
    "resume_filename": {"type": "string", "maxLength": FILENAME_LENGTH},
}
_RESUME_IN_FORM: dict[str, Any] = {"resume": {"type": "string", "format": "binary"}}

RESUME_SCHEMA: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"type": "object", "required": ["resume"], "properties": _RESUME_IN_JSON}},
            "multipart/form-data": {
                "schema": {"type": "object", "required": ["resume"], "properties": _RESUME_IN_FORM}
            },
        },
    }
}

SUBMISSION_SCHEMA: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": _REQUIRED,
                    "properties": {
                        **_FIELDS,
                        **_RESUME_IN_JSON,
                    },
                }
            },
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": _REQUIRED,
                    "properties": {**_FIELDS, **_RESUME_IN_FORM},
                }
            },
        },
    }
}
