"""E-mail addresses: one rule for prospects, attorneys and accounts."""

from email_validator import EmailNotValidError, validate_email

ADDRESS_LENGTH = 254
"""RFC 5321 s. 4.5.3.1.3: a path has at most 256 octets, brackets included."""


def parse_address(text: str) -> str:
    """Return the one address that ``text`` is, surrounding space aside; its domain in ASCII (RFC 5890).

    Raises ValueError when it is none, or more than one: an address is refused, never trimmed into
    another. Reserved names such as ``.test`` are taken: they harm nobody.
    """
    try:
        found = validate_email(text.strip(), check_deliverability=False, allow_smtputf8=False, test_environment=True)
    except (EmailNotValidError, UnicodeError) as error:
        raise ValueError("must be one e-mail address, such as name@example.com") from error
    address = found.ascii_email or found.normalized
    if len(address) > ADDRESS_LENGTH:
        raise ValueError(f"must have at most {ADDRESS_LENGTH} characters")
    return address
