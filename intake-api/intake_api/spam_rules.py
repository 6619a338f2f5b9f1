"""What makes a submission suspect: it is kept in quarantine for staff, never refused. Pure."""

import re

from intake_api.submission import NewSubmission

_URL = re.compile(r"https?://|www\.", re.IGNORECASE)
_HOST = re.compile(
    r"[a-z0-9-]{2,}\.(com|net|org|info|biz|ru|cn|top|xyz|io|co|link|site|online|shop|club|vip|icu)\b", re.IGNORECASE
)
_MARKUP = re.compile(r"<\s*[a-z/!]|\[/?(url|link|img)|\{\{|\{%|&#|javascript:", re.IGNORECASE)
LINKS_IN_A_MESSAGE = 5


def suspicions(submission: NewSubmission, token_problem: str | None) -> tuple[str, ...]:
    """Name every reason to take the submission for spam; none for an ordinary one."""
    found: list[str] = []
    if submission.honeypot:
        found.append("honeypot")
    if token_problem is not None:
        found.append(token_problem)
    names = (submission.first_name, submission.last_name)
    if any(_URL.search(name) or _HOST.search(name) for name in names):
        found.append("url-in-name")
    if any(_MARKUP.search(name) for name in names):
        found.append("markup-in-name")
    if len(_URL.findall(submission.details.message or "")) >= LINKS_IN_A_MESSAGE:
        found.append("many-links")
    return tuple(found)
