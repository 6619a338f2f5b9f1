"""What a visitor may add to a submission: contact, matter, where they came from, consent. All optional.

The same rules for both encodings; every wrong field is an entry of ``errors``. An empty value is none: forms
send empty fields.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

import phonenumbers

from intake_api.exceptions import FieldError
from intake_api.plain_text import has_controls

MESSAGE_LENGTH = 5_000
REFERRER_LENGTH = 2_000
SHORT_LENGTH = 100
PHONE_LENGTH = 40
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,4}")


@dataclass(frozen=True)
class Details:
    """The optional fields: ``phone`` in E.164, ``language`` a BCP 47 tag in lower case, None where not given.

    ``consent_version`` names the text that was agreed to, ``consent_text`` is that text as it was shown.
    """

    phone: str | None = None
    message: str | None = None
    practice_area: str | None = None
    language: str | None = None
    source: str | None = None
    referrer: str | None = None
    campaign: str | None = None
    consent_version: str | None = None
    consent_text: str | None = None

    def given(self) -> list[str | None]:
        """All values, or nothing when none was given: what a fingerprint takes in."""
        values = list(astuple(self))
        return values if any(value is not None for value in values) else []


def check_details(fields: Mapping[str, Any], errors: list[FieldError], *, region: str) -> Details:
    """Check the optional fields. ``region`` (ISO 3166, or empty) is where a phone number without + belongs."""
    details = Details(
        phone=_phone(fields, region, errors),
        message=_text(fields, "message", MESSAGE_LENGTH, errors, lines=True),
        practice_area=_text(fields, "practice_area", SHORT_LENGTH, errors),
        language=_language(fields, errors),
        source=_text(fields, "source", SHORT_LENGTH, errors),
        referrer=_text(fields, "referrer", REFERRER_LENGTH, errors),
        campaign=_text(fields, "campaign", SHORT_LENGTH, errors),
        consent_version=_text(fields, "consent", SHORT_LENGTH, errors),
        consent_text=_text(fields, "consent_text", MESSAGE_LENGTH, errors, lines=True),
    )
    if details.consent_text is not None and (fields.get("consent") is None or fields.get("consent") == ""):
        errors.append(FieldError("consent", "is required with consent_text: name the version of the text"))
    return details


def _text(
    fields: Mapping[str, Any], field: str, longest: int, errors: list[FieldError], *, lines: bool = False
) -> str | None:
    value = fields.get(field)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        errors.append(FieldError(field, "must be text"))
        return None
    if len(value) > longest:
        errors.append(FieldError(field, f"must have at most {longest} characters"))
        return None
    text = unicodedata.normalize("NFC", value.replace("\r\n", "\n").replace("\r", "\n")).strip()
    if has_controls(text.replace("\n", "").replace("\t", "") if lines else text):
        errors.append(FieldError(field, "must not contain control characters"))
        return None
    return text[:longest] or None


def _phone(fields: Mapping[str, Any], region: str, errors: list[FieldError]) -> str | None:
    text = _text(fields, "phone", PHONE_LENGTH, errors)
    if text is None:
        return None
    try:
        number = phonenumbers.parse(text, region or None)
    except phonenumbers.NumberParseException:
        number = None
    if number is None or not phonenumbers.is_possible_number(number):
        errors.append(FieldError("phone", "must be a phone number with its country code, such as +1 212 555 0100"))
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def _language(fields: Mapping[str, Any], errors: list[FieldError]) -> str | None:
    text = _text(fields, "language", SHORT_LENGTH, errors)
    if text is None:
        return None
    if not _LANGUAGE.fullmatch(text):
        errors.append(FieldError("language", "must be a language tag (BCP 47), such as en or pt-BR"))
        return None
    return text.lower()
