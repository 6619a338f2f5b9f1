"""The public form's rules with their settings: caps, tokens, suspicion. One object, made in the composition root."""

import time
from collections.abc import Sequence

from intake_api.form_settings import Rate, parse_rate
from intake_api.form_token import FormTokens
from intake_api.keyed_hash import form_key, keyed_hash
from intake_api.settings import IntakeSettings
from intake_api.spam_rules import suspicions
from intake_api.submission import NewSubmission
from intake_api.use_cases.take_allowance import Allowance

DAY_S = 86_400.0


class Form:
    """What may be submitted, how often, and what is suspect."""

    def __init__(self, settings: IntakeSettings) -> None:
        self._key = form_key(settings)
        self._per_client = parse_rate(settings.limit_per_client)
        self._per_recipient = parse_rate(settings.limit_per_recipient)
        self._overall = parse_rate(settings.limit_overall)
        self._quota = Rate(settings.storage_quota, DAY_S)
        self.tokens = FormTokens(
            self._key, settings.form_minimum_time, settings.form_token_lifetime, settings.form_token_required
        )

    def hash_client(self, client: str) -> str:
        """The keyed hash of a client's network."""
        return keyed_hash(self._key, "client", client)

    def hash_recipient(self, email_key: str) -> str:
        """The keyed hash of a prospect's address."""
        return keyed_hash(self._key, "recipient", email_key)

    def per_client(self, client_hash: str) -> Sequence[Allowance]:
        """What any attempt of this client uses, before its body is read."""
        return _of("client", client_hash, self._per_client)

    def per_submission(self, submission: NewSubmission) -> Sequence[Allowance]:
        """What a valid submission uses: its recipient's cap, everybody's, and the day's storage."""
        return [
            *_of("recipient", self.hash_recipient(submission.email_key), self._per_recipient),
            *_of("overall", "all", self._overall),
            *_of("storage", "all", self._quota, submission.resume.size),
        ]

    def per_link(self, client: str, email_key: str) -> Sequence[Allowance]:
        """What asking for a link uses: the client's cap, and as many mails as submissions could have sent, apart."""
        return [
            *self.per_client(self.hash_client(client)),
            *_of("link-recipient", self.hash_recipient(email_key), self._per_recipient),
            *_of("link-overall", "all", self._overall),
        ]

    def suspicions(self, submission: NewSubmission) -> tuple[str, ...]:
        """Why a submission goes into quarantine; nothing for an ordinary one."""
        return suspicions(submission, self.tokens.problem(submission.form_token, time.time()))


def _of(scope: str, subject: str, rate: Rate | None, cost: int = 1) -> list[Allowance]:
    return [Allowance(scope, subject, rate, cost)] if rate else []
