"""A whole worker process of the tests' own: consumer, relay, a loop, a job and the ops port."""

import asyncio
import contextlib
import json
import sys
import time
from pathlib import Path

from service_chassis import process
from service_chassis.consumer import Consumer
from service_chassis.database import make_engine, make_sessions, ping
from service_chassis.envelope import Envelope
from service_chassis.hearing import Subscription
from service_chassis.jobs import Job
from service_chassis.outbox import add
from service_chassis.process import Worker
from service_chassis.pulse import Pulse
from service_chassis.relay import Relay
from service_chassis.settings import ConsumerGroup, DatabaseGroup, RelayGroup
from service_chassis.telemetry import configure_logging
from shared_schemas.events import AttorneyChanged, LeadClosed
from shared_schemas.topology import ASSIGNMENT_ROSTER
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


def main() -> int:
    options = json.loads(sys.argv[1])
    folder = Path(options["folder"])
    configure_logging("whole")
    engine = make_engine(DatabaseGroup(database_url=options["database"]), "whole")

    pulse = Pulse()
    process.LOOP_GRACE_S = options.get("loop_grace", process.LOOP_GRACE_S)
    process.CANCELLED_S = options.get("loop_grace", process.CANCELLED_S)

    async def handle(session: AsyncSession, event: AttorneyChanged, _envelope: Envelope) -> None:
        (folder / "entered").touch()
        await asyncio.sleep(float(options.get("slow", 0)))
        await session.execute(text("INSERT INTO effects (note) VALUES (:note)"), {"note": event.name})
        await add(session, LeadClosed(lead_id=event.attorney_id, epoch=1))

    async def loop(stop: asyncio.Event) -> None:
        if options.get("loop") == "dies":
            raise ValueError("CANARY jane.doe@example.org")
        if options.get("loop") == "blocks":
            time.sleep(60)  # noqa: ASYNC251 - a blocked event loop is what is tested
        while options.get("loop") != "hangs" and not stop.is_set():
            pulse.beat()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await stop.wait()
        while options.get("loop") == "clings":
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(1)
        await stop.wait()

    async def work() -> None:
        return

    return Worker(
        name="whole",
        engine=engine,
        consumer=Consumer(
            options["amqp"],
            [Subscription(ASSIGNMENT_ROSTER, {AttorneyChanged: handle})],
            make_sessions(engine),
            ConsumerGroup(),
            lambda: ping(engine),
            "whole",
        ),
        relay=Relay(options["database"], options["amqp"], RelayGroup(), "whole"),
        ops_host="127.0.0.1",
        ops_port=options["port"],
        stall_limit=options.get("stall_limit", 60.0),
        loops={"loop": loop},
        pulses={"loop": pulse},
        jobs=(Job("job", 60, work),),
    ).run()


if __name__ == "__main__":
    sys.exit(main())
