"""What is known of a stored resume's safety, and what that means for its download. Pure."""

from collections.abc import Sequence

from intake_api.scanner import Verdict

ACCEPTED = "accepted"
FLAGGED = "flagged"
"""Staff are told why, and may download it."""
QUARANTINED = "quarantined"
"""Its download is refused: malware, or not scanned yet."""
WITHDRAWN = "withdrawn"
"""The prospect took it away: there is no object any more."""

MALWARE = "malware"
UNSCANNED = "unscanned"


def flags_after(verdict: Verdict, flags: Sequence[str]) -> list[str]:
    """A document's flags after the scanner's word on it."""
    said = {Verdict.MALWARE: [MALWARE], Verdict.UNKNOWN: [UNSCANNED], Verdict.CLEAN: []}
    return [*flags, *said[verdict]]


def state_after(flags: Sequence[str]) -> str:
    """The state that follows from the flags."""
    if MALWARE in flags or UNSCANNED in flags:
        return QUARANTINED
    return FLAGGED if flags else ACCEPTED
