"""Contact data is kept only as long as it is needed (docs/design.md, Deliveries)."""

from datetime import timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from mailer_worker.models import FINAL, Delivery, DeliveryState


async def clear_contact_data(session: AsyncSession, at_most: int, *, retention_days: int) -> int:
    """Clear names, address and rendered mail of deliveries finished for that long. Returns how many.

    A delivery of unknown outcome keeps its bytes while it may be sent again; a later event brings the contact anew.
    """
    over = Delivery.state == DeliveryState.SENT
    ended = Delivery.state.in_((*FINAL, DeliveryState.CANCELLED)) & Delivery.ambiguous.is_(False)
    old = (
        select(Delivery.id)
        .where(
            or_(over, ended),
            Delivery.address.is_not(None),
            Delivery.changed_at < func.now() - timedelta(days=retention_days),
        )
        .limit(at_most)
        .with_for_update()
    )
    statement = (
        update(Delivery)
        # As an array it is evaluated once: in a join it might be again, and find further rows.
        .where(Delivery.id == func.any(func.array(old.scalar_subquery())))
        .values(first_name=None, last_name=None, address=None, mail=None, mail_recipient=None)
        .execution_options(synchronize_session=False)
    )
    return cast(CursorResult[Any], await session.execute(statement)).rowcount
