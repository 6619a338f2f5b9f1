"""What becomes of a delivery when an attempt has ended, or has been lost.

Every write is guarded by the attempt's number, and by ``sending`` or, when the lease ran out, by nothing having been
done since: an attempt that comes late tells what nobody knew, or changes nothing.
"""

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from service_chassis import outbox
from shared_schemas.events import LeadReachedOut
from sqlalchemy import and_, case, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ColumnElement

from mailer_worker import metrics, repository, retry_policy, transitions
from mailer_worker.delivery_events import say
from mailer_worker.mail_sender import RELAYING_DENIED, Ambiguous, DefinitelyNotSent, Outcome, RelayAway, Sent
from mailer_worker.models import HAS_LEASE, PROSPECT_LINK, RELAY_AWAY, Delivery, DeliveryState
from mailer_worker.settings import SenderGroup
from mailer_worker.use_cases.claim_deliveries import Attempt
from mailer_worker.use_cases.erase_lead import release_erased

PUT_BACK = "put_back"
LOST = "lost"


_IS_LOST = and_(Delivery.state == DeliveryState.DEFERRED, Delivery.reason == LOST)


def _is_this(attempt: Attempt) -> ColumnElement[bool]:
    return and_(
        Delivery.id == attempt.delivery_id,
        Delivery.attempt == attempt.number,
        or_(Delivery.state == DeliveryState.SENDING, _IS_LOST),
    )


async def is_still_wanted(session: AsyncSession, attempt: Attempt) -> bool:
    """Whether the attempt may go on to DATA: not cancelled, not erased, and still within its lease."""
    wanted = select(Delivery.id).where(
        _is_this(attempt), Delivery.cancel_requested.is_(False), Delivery.lease_until > func.clock_timestamp()
    )
    return await session.scalar(wanted) is not None


async def settle_attempt(session: AsyncSession, attempt: Attempt, outcome: Outcome, settings: SenderGroup) -> bool:
    """Record how an attempt ended and say so. False: it was no longer this attempt's turn."""
    if isinstance(outcome, Sent):
        settled = await _settle_sent(session, attempt, outcome)
    else:
        delivery = await session.scalar(select(Delivery).where(_is_this(attempt)).with_for_update())
        settled = delivery is not None
        if delivery is not None:
            if delivery.state == DeliveryState.DEFERRED:
                transitions.unmark_ambiguous(delivery)
            await _settle_unsent(session, delivery, outcome, settings)
    if not settled:
        await release_erased(session, attempt.delivery_id, attempt.number)
    return settled


async def _settle_sent(session: AsyncSession, attempt: Attempt, outcome: Sent) -> bool:
    """One statement and one event: what lies between the relay's 250 and this commit may be sent twice."""
    row = (
        await session.execute(
            update(Delivery)
            .where(_is_this(attempt))
            .values(
                state=DeliveryState.SENT,
                reason=None,
                smtp_code=outcome.code,
                sent_at=func.clock_timestamp(),
                lease_until=None,
                next_attempt_at=None,
                ambiguous=case((_IS_LOST, Delivery.ambiguous_attempts > 1), else_=Delivery.ambiguous),
                ambiguous_attempts=case((_IS_LOST, Delivery.ambiguous_attempts - 1), else_=Delivery.ambiguous_attempts),
            )
            .returning(
                Delivery.lead_id,
                Delivery.kind,
                Delivery.mail_attorney_id,
                Delivery.message_id,
                Delivery.attempts_made,
                Delivery.ambiguous,
                Delivery.sent_at,
            )
            .execution_options(synchronize_session=False)
        )
    ).one_or_none()
    if row is None:
        return False
    if row.kind == PROSPECT_LINK:
        return True
    event = LeadReachedOut(
        lead_id=row.lead_id,
        delivery_id=attempt.delivery_id,
        kind=row.kind,
        attorney_id=row.mail_attorney_id,
        message_id=row.message_id,
        attempts=row.attempts_made,
        ambiguous=row.ambiguous,
        sent_at=row.sent_at,
    )
    await outbox.add(session, event, correlation_id=attempt.trace_id)
    return True


async def _settle_unsent(session: AsyncSession, delivery: Delivery, outcome: Outcome, settings: SenderGroup) -> None:
    now = await repository.database_now(session)
    had_said_away = delivery.reason == RELAY_AWAY
    recipient = delivery.mail_recipient
    if isinstance(outcome, Ambiguous):
        await _settle_ambiguous(session, delivery, outcome.reason, settings)
        return
    if isinstance(outcome, RelayAway) and outcome.stage == RELAYING_DENIED:
        # The probe names no recipient and cannot tell when this is over. Were it for this recipient alone, a mail
        # that is due again at every probe would hold up all others: so it waits by its own clock, and expires.
        outcome = DefinitelyNotSent(permanent=False, code=outcome.code, reason=outcome.stage, stage="rcpt")
    transitions.unfreeze(delivery)
    if not isinstance(outcome, DefinitelyNotSent):
        delivery.attempts_made -= 1
    if isinstance(outcome, DefinitelyNotSent) and outcome.permanent:
        _fail(delivery, "refused", outcome.code)
        if outcome.is_about_address and recipient is not None:
            await repository.suppress(session, settings.suppression_key, recipient, "refused", outcome.code)
    elif delivery.cancel_requested:
        _end_cancelled(delivery)
    elif isinstance(outcome, DefinitelyNotSent):
        if retry_policy.is_expired(delivery.first_queued_at, now, settings.expire_after):
            _fail(delivery, "expired", outcome.code)
        else:
            delay = retry_policy.delay_after(delivery.attempts_made, settings.retry_first, settings.retry_longest)
            transitions.defer(delivery, outcome.reason, now + timedelta(seconds=delay))
    elif isinstance(outcome, RelayAway):
        transitions.await_relay(delivery)
        if had_said_away:
            return
    else:
        transitions.defer(delivery, PUT_BACK, now)
        return
    await say(session, delivery)


async def _settle_ambiguous(session: AsyncSession, delivery: Delivery, reason: str, settings: SenderGroup) -> None:
    """Send it again (same Message-ID, same bytes), hold it by policy, or leave it if it was cancelled."""
    now = await repository.database_now(session)
    transitions.mark_ambiguous(delivery)
    if delivery.cancel_requested:
        _end_cancelled(delivery)
        return
    if settings.ambiguous_policy == "hold" or delivery.ambiguous_attempts >= settings.ambiguous_limit:
        _fail(delivery, "held")
    elif retry_policy.is_expired(delivery.first_queued_at, now, settings.expire_after):
        _fail(delivery, "expired")
    elif reason == LOST:
        # Its lease was wait enough; the next event comes with the attempt that follows at once.
        transitions.defer(delivery, LOST, now)
        return
    else:
        delay = retry_policy.delay_after(delivery.attempts_made, settings.retry_first, settings.retry_longest)
        transitions.defer(delivery, "ambiguous", now + timedelta(seconds=delay))
    await say(session, delivery)


def _fail(delivery: Delivery, reason: str, smtp_code: int | None = None) -> None:
    transitions.fail(delivery, reason, smtp_code)
    metrics.MAILS.labels(f"failed_{reason}").inc()


def _end_cancelled(delivery: Delivery) -> None:
    delivery.state, delivery.cancel_requested = DeliveryState.DEFERRED, False
    delivery.lease_until = None
    transitions.cancel(delivery)


async def recover_lost(session: AsyncSession, settings: SenderGroup, running: Collection[UUID] = ()) -> int:
    """Take back the attempts whose lease ran out: nobody knows how they ended. Returns how many.

    ``running``: the deliveries that this process is at, and will settle itself.
    """
    lost = await session.scalars(
        select(Delivery)
        .where(
            HAS_LEASE,
            Delivery.state == DeliveryState.SENDING,
            Delivery.lease_until < func.now(),
            Delivery.id.not_in(running),
        )
        .with_for_update(skip_locked=True)
    )
    deliveries = lost.all()
    for delivery in deliveries:
        await _settle_ambiguous(session, delivery, LOST, settings)
        metrics.MAILS.labels("ambiguous").inc()
    return len(deliveries)
