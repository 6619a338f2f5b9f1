"""An assignment-worker whose handlers end the process or hang where a message asks for it, and are as slow as told.

`python -m chaos.roots.assignment`. The product has no such switch: its handlers are wrapped here, before its own
composition root puts the process together.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from unittest.mock import patch

from assignment_worker import handlers, worker
from assignment_worker.settings import AssignmentSettings
from service_chassis.envelope import Envelope
from service_chassis.hearing import Handler, Subscription
from service_chassis.settings import load
from service_chassis.telemetry import configure_logging
from sqlalchemy.ext.asyncio import AsyncSession

from chaos.roots import DIES, HANGS, SLOWNESS

EXIT_CODE = 70

_product = handlers.subscriptions


def subscriptions(name: str, wake: Callable[[], None]) -> tuple[Subscription, ...]:
    """The product's subscriptions with handlers that misbehave."""
    slowness = float(os.environ.get(SLOWNESS, "0"))
    return tuple(
        replace(one, handlers={event: _misbehaving(handler, slowness) for event, handler in one.handlers.items()})
        for one in _product(name, wake)
    )


def _misbehaving(handler: Handler, slowness: float) -> Handler:
    async def handle(session: AsyncSession, event: object, envelope: Envelope) -> None:
        if DIES in envelope.headers:
            os._exit(EXIT_CODE)
        if HANGS in envelope.headers:
            await asyncio.Event().wait()
        await asyncio.sleep(slowness)  # the slowness is the fault
        await handler(session, event, envelope)

    return handle


def main() -> None:
    """Run it as the product's own root does."""
    settings = load(AssignmentSettings)
    configure_logging(worker.SERVICE, settings.log_level)
    with patch.object(handlers, "subscriptions", subscriptions):
        process = worker.build(settings)
    sys.exit(process.run())


if __name__ == "__main__":
    main()
