"""One attempt from its claim to its outcome in the database."""

import asyncio
import time

import structlog
from service_chassis import telemetry
from service_chassis.database import Sessions
from service_chassis.transient import is_dependency_away, is_statement_cancelled

from mailer_worker import metrics
from mailer_worker.mail_sender import Ambiguous, DefinitelyNotSent, MailSender, Outcome, RelayAway, Sent, Stopped
from mailer_worker.settings import MailerSettings
from mailer_worker.use_cases.claim_deliveries import Attempt
from mailer_worker.use_cases.settle_attempt import is_still_wanted, settle_attempt

log = structlog.get_logger(__name__)

SETTLE_AGAIN_S = 0.5


async def run_attempt(
    attempt: Attempt, sessions: Sessions, mail_sender: MailSender, settings: MailerSettings
) -> Outcome:
    """Send one mail and record what happened. A cancelled attempt is recorded too, before this returns."""
    with telemetry.traced(attempt.trace_id, delivery_id=str(attempt.delivery_id)):
        began = time.monotonic()
        outcome = await _send(attempt, sessions, mail_sender)
        answered = time.monotonic()
        metrics.ATTEMPT_SECONDS.observe(answered - began)
        settled = await _settle(attempt, outcome, sessions, settings, until=began + settings.smtp_lease)
        if isinstance(outcome, Sent) and settled:
            metrics.COMMIT_WINDOW_SECONDS.observe(time.monotonic() - answered)
        word = _word(outcome)
        metrics.MAILS.labels(word).inc()
        log.info("attempt_ended", attempt=attempt.number, outcome=word, settled=settled, **_detail(outcome))
        return outcome


async def _send(attempt: Attempt, sessions: Sessions, mail_sender: MailSender) -> Outcome:
    may_be_sent = False

    async def before_data() -> bool:
        nonlocal may_be_sent
        async with sessions.begin() as session:
            is_wanted = await is_still_wanted(session, attempt)
        may_be_sent = is_wanted  # only now: if this transaction cannot end, DATA never begins
        return is_wanted

    try:
        return await mail_sender.send(attempt.mail, before_data)
    except asyncio.CancelledError:
        # The process stops and its grace is over: what is known must still be written down.
        return Ambiguous("stopped") if may_be_sent else Stopped()
    except Exception as error:
        log.warning("attempt_broke", **telemetry.log_fields(error))
        if may_be_sent:
            return Ambiguous("broke")
        if is_dependency_away(error) or is_statement_cancelled(error):
            return Stopped()
        return DefinitelyNotSent(permanent=False, code=None, reason="broke")


async def _settle(
    attempt: Attempt, outcome: Outcome, sessions: Sessions, settings: MailerSettings, until: float
) -> bool:
    """Commit the outcome, trying again while the database is away: an unwritten `sent` would be sent again.

    After ``until`` any other error ends it, and so does any error in an attempt that was cut.
    """
    while True:
        try:
            async with sessions.begin() as session:
                return await settle_attempt(session, attempt, outcome, settings)
        except Exception as error:
            log.warning("attempt_not_settled", **telemetry.log_fields(error))
            is_away = is_dependency_away(error) or is_statement_cancelled(error)
            if time.monotonic() >= until and (not is_away or _is_cut()):
                return False
            await asyncio.sleep(SETTLE_AGAIN_S)


def _is_cut() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _word(outcome: Outcome) -> str:
    if isinstance(outcome, DefinitelyNotSent):
        return "refused" if outcome.permanent else "deferred"
    return {Sent: "sent", Ambiguous: "ambiguous", RelayAway: "relay_away", Stopped: "stopped"}[type(outcome)]


def _detail(outcome: Outcome) -> dict[str, object]:
    """What may be logged of an outcome: codes and words, never the relay's text, which quotes addresses."""
    return {name: value for name in ("code", "reason", "stage") if (value := getattr(outcome, name, None)) is not None}
