"""Keep the public form's own tables small: windows that are over, old attempts, keys past their bound."""

from service_chassis.database import Sessions
from sqlalchemy import delete, func, select

from intake_api.form_models import CaptureAttempt, RateCounter
from intake_api.form_settings import FormGroup
from intake_api.models import IdempotencyKey


async def forget_form_state(sessions: Sessions, settings: FormGroup) -> None:
    """Delete what is over, by the database's clock, and the oldest rows past the bounds that are set."""
    async with sessions.begin() as session:
        await session.execute(delete(RateCounter).where(RateCounter.ends_at < func.now()))
        await session.execute(
            delete(CaptureAttempt).where(
                CaptureAttempt.last_at < func.now() - func.make_interval(0, 0, 0, settings.capture_log_days)
            )
        )
        first_too_old = (
            select(CaptureAttempt.id)
            .order_by(CaptureAttempt.id.desc())
            .offset(settings.capture_log_rows)
            .limit(1)
            .scalar_subquery()
        )
        await session.execute(delete(CaptureAttempt).where(CaptureAttempt.id <= first_too_old))
    async with sessions.begin() as session:
        surplus = (
            select(IdempotencyKey.key_hash)
            .order_by(IdempotencyKey.created_at.desc(), IdempotencyKey.key_hash)
            .offset(settings.idempotency_max_keys)
        )
        await session.execute(delete(IdempotencyKey).where(IdempotencyKey.key_hash.in_(surplus)))
