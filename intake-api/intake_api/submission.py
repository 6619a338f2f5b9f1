"""What a visitor sent, checked: one set of rules for both encodings.

All wrong fields are found at once. Nothing typed by a visitor is trimmed into something else: an
address that is not an address is refused, because the address stored is the address mailed.
"""

import base64
import binascii
import hashlib
import json
import re
import tempfile
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from intake_api.address import parse_address
from intake_api.exceptions import FieldError, InvalidFieldsError
from intake_api.plain_text import has_controls
from intake_api.resume_archive import UnsafeResumeError
from intake_api.resume_safety import inspect
from intake_api.resume_type import ACCEPTED, recognise
from intake_api.submission_details import Details, check_details

NAME_LENGTH = 100
FILENAME_LENGTH = 255
HONEYPOT = "website"
"""A field that people do not see and leave empty; programs that fill in everything do not."""
TOKEN_LENGTH = 200
SPOOL_BYTES = 256 * 1024
_READ_BYTES = 64 * 1024
_NOT_IN_FILENAMES = re.compile(r'[\x00-\x1f\x7f"\\/:*?<>|\u202a-\u202e\u2066-\u2069]')


@dataclass(frozen=True)
class Resume:
    """A resume as it will be stored. ``content`` is a seekable spooled file owned by the request.

    ``flags`` name what staff should know before they open it.
    """

    content: BinaryIO
    size: int
    sha256: str
    media_type: str
    filename: str
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class NewSubmission:
    """A valid submission. ``email`` is the address as typed; ``email_key`` tells who it is.

    ``honeypot`` tells that the field which people leave empty was filled in.
    """

    first_name: str
    last_name: str
    email: str
    resume: Resume
    details: Details = field(default_factory=Details)
    honeypot: bool = False
    form_token: str | None = None

    @property
    def email_key(self) -> str:
        """The address by which submissions of one prospect are recognised: lower-cased."""
        return self.email.lower()

    def fingerprint(self) -> str:
        """A hash of everything sent: equal for a repeated request, in either encoding."""
        fields = [self.first_name, self.last_name, self.email, self.resume.sha256, self.resume.filename]
        fields += [value or "" for value in self.details.given()]
        return hashlib.sha256(json.dumps(fields).encode()).hexdigest()


def spooled_file() -> BinaryIO:
    """A file that stays in memory while it is small."""
    return tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # type: ignore[return-value]  # behaves as BinaryIO


def decode_json(body: BinaryIO) -> tuple[dict[str, Any], BinaryIO | None]:
    """Take a JSON body apart: its fields, and the decoded ``resume`` as a file.

    Holds the whole body in memory while it runs: the caller bounds how many run at once. Raises
    InvalidFieldsError when the body is no JSON object; a ``resume`` that is not base64 is left in the
    fields for `check` to name beside the other wrong fields.
    """
    body.seek(0)
    try:
        fields = json.loads(body.read())
    except (ValueError, RecursionError) as error:
        raise InvalidFieldsError([FieldError("body", "is not valid JSON: send one JSON object")]) from error
    if not isinstance(fields, dict):
        raise InvalidFieldsError([FieldError("body", "is not a JSON object")])
    text = fields.get("resume")
    if not isinstance(text, str) or not text:
        return fields, None
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        fields["resume"] = b""
        return fields, None
    fields["resume"] = None
    del text
    content = spooled_file()
    content.write(decoded)
    return fields, content


def check(
    fields: Mapping[str, Any], content: BinaryIO | None, filename: object, *, limit: int, region: str = ""
) -> NewSubmission:
    """Check all fields of a submission and give it back typed. Raises InvalidFieldsError naming every wrong one.

    ``content`` is the resume's bytes, None when there is none that could be read; ``limit`` in bytes; ``region`` is
    the country of phone numbers without +.
    """
    errors: list[FieldError] = []
    first_name = _name(fields, "first_name", errors)
    last_name = _name(fields, "last_name", errors)
    email = _email(fields, errors)
    details = check_details(fields, errors, region=region)
    resume = _resume(fields, content, filename, limit, errors)
    if errors or resume is None:
        raise InvalidFieldsError(errors)
    token = fields.get("form_token")
    return NewSubmission(
        first_name,
        last_name,
        email,
        resume,
        details,
        honeypot=bool(fields.get(HONEYPOT)),
        form_token=str(token)[:TOKEN_LENGTH] if token else None,
    )


def check_resume(fields: Mapping[str, Any], content: BinaryIO | None, filename: object, *, limit: int) -> Resume:
    """Check a resume alone. Raises InvalidFieldsError."""
    errors: list[FieldError] = []
    resume = _resume(fields, content, filename, limit, errors)
    if resume is None:
        raise InvalidFieldsError(errors)
    return resume


def _name(fields: Mapping[str, Any], field: str, errors: list[FieldError]) -> str:
    value = fields.get(field)
    if value is None:
        errors.append(FieldError(field, "is required"))
    elif not isinstance(value, str):
        errors.append(FieldError(field, "must be text"))
    else:
        # Normalising is quadratic in combining marks and holds the interpreter: long text is not normalised.
        name = unicodedata.normalize("NFC", value).strip() if len(value) <= 4 * NAME_LENGTH else value
        if not name:
            errors.append(FieldError(field, "must not be blank"))
        elif len(name) > NAME_LENGTH:
            errors.append(FieldError(field, f"must have at most {NAME_LENGTH} characters"))
        elif has_controls(name):
            errors.append(FieldError(field, "must not contain control characters"))
        else:
            return name
    return ""


def _email(fields: Mapping[str, Any], errors: list[FieldError]) -> str:
    value = fields.get("email")
    if value is None:
        errors.append(FieldError("email", "is required"))
    elif not isinstance(value, str):
        errors.append(FieldError("email", "must be text"))
    else:
        try:
            return parse_address(value)
        except ValueError as error:
            errors.append(FieldError("email", str(error)))
    return ""


def _resume(
    fields: Mapping[str, Any], content: BinaryIO | None, filename: object, limit: int, errors: list[FieldError]
) -> Resume | None:
    if content is None:
        value = fields.get("resume")
        if value is None or value == "":
            errors.append(FieldError("resume", "is required: send the document"))
        elif isinstance(value, bytes):
            errors.append(FieldError("resume", "is not base64 (RFC 4648, padded, without line breaks)"))
        else:
            errors.append(FieldError("resume", "must be the document: base64 text in JSON, a file in a form"))
        return None
    if filename is not None and not isinstance(filename, str):
        errors.append(FieldError("resume_filename", "must be text"))
        return None
    digest, size = _digest(content)
    if size == 0:
        errors.append(FieldError("resume", "is empty: send the document"))
    elif size > limit:
        errors.append(FieldError("resume", f"is larger than {limit // (1024 * 1024)} MiB", status=413))
    else:
        shown = display_name(filename)
        kind = recognise(content, shown)
        if kind is not None:
            try:
                flags = inspect(content, kind)
            except UnsafeResumeError as error:
                errors.append(FieldError("resume", str(error), 415))
                return None
            return Resume(content, size, digest, kind.media_type, shown or f"resume{kind.extension}", flags)
        errors.append(
            FieldError(
                "resume", f"is not a document that is taken (or its name says another type): send {ACCEPTED}", 415
            )
        )
    return None


def _digest(content: BinaryIO) -> tuple[str, int]:
    content.seek(0)
    digest, size = hashlib.sha256(), 0
    while chunk := content.read(_READ_BYTES):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


def display_name(filename: str | None) -> str:
    """A file name fit to be shown and downloaded: its last part, without anything that could mislead."""
    last = (filename or "").replace("\\", "/").rsplit("/", 1)[-1]
    clean = _NOT_IN_FILENAMES.sub("_", last.encode("utf-8", "replace").decode()).strip(" .")
    stem, dot, extension = clean.rpartition(".")
    if not dot:
        return clean[:FILENAME_LENGTH]
    return f"{stem[: FILENAME_LENGTH - len(extension) - 1]}.{extension}"
