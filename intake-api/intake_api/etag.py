"""ETags of leads (RFC 9110 s. 8.8.3): which state of a lead somebody has seen. Pure."""

import hashlib
import re

from intake_api.exceptions import StaleEtagError
from intake_api.models import Lead

_LISTED = re.compile(r'(W/)?("[^"]*")')


def etag_of(lead: Lead) -> str:
    """A strong ETag: another one after every change of the lead, by a person or an event."""
    seen = (lead.id, lead.updated_at.isoformat(), lead.epoch, lead.decision, str(lead.status))
    return f'"{hashlib.sha256(repr(seen).encode()).hexdigest()[:24]}"'


def require_match(lead: Lead, if_match: str | None) -> None:
    """Check a lead against an If-Match header (RFC 9110 s. 13.1.1); none is no check. Raises StaleEtagError."""
    if if_match is None or if_match.strip() == "*":
        return
    current = etag_of(lead)
    if not any(tag == current and not weak for weak, tag in _LISTED.findall(if_match)):
        raise StaleEtagError(current)
