"""A worker process that the tests own: what its handler does stands in the event's ``name``.

The process that the test starts is the supervisor: it forks the worker, and again whenever that dies, so that a death
costs no second start of Python. SIGTERM goes to the worker; the exit code is the worker's. Each death is a line.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from service_chassis.consumer import Consumer
from service_chassis.database import make_engine, make_sessions, ping
from service_chassis.envelope import Envelope
from service_chassis.hearing import Subscription
from service_chassis.process import Worker
from service_chassis.relay import Relay
from service_chassis.settings import ConsumerGroup, DatabaseGroup, RelayGroup
from shared_schemas.events import AttorneyChanged
from shared_schemas.topology import ASSIGNMENT_ROSTER
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

DEATH = 9


class Script:
    """A handler that dies as told. Files in ``folder`` remember what was done once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._die_after_commit = False

    def first_time(self, what: str) -> bool:
        path = self._folder / what.replace(" ", "-")
        if path.exists():
            return False
        path.touch()
        return True

    async def handle(self, session: AsyncSession, event: AttorneyChanged, _envelope: Envelope) -> None:
        if event.name == "fail once, then die" and self.first_time("failed"):
            raise ValueError
        if event.name in ("die", "fail once, then die"):
            os._exit(DEATH)
        await session.execute(text("INSERT INTO effects (note) VALUES (:note)"), {"note": event.name})
        if event.name == "die before commit, once" and self.first_time(event.name):
            os._exit(DEATH)
        if event.name == "die after commit, once" and self.first_time(event.name):
            self._die_after_commit = True
        if event.name == "slow":
            (self._folder / "slow").touch()
            await asyncio.sleep(1.0)

    def after_commit(self) -> None:
        if self._die_after_commit:
            os._exit(DEATH)


class NoRelay(Relay):
    """Leaves the outbox to the test."""

    async def run(self, stop: asyncio.Event) -> None:
        await stop.wait()


def work() -> int:
    database_url, amqp_url, folder = json.loads(sys.argv[1])
    script = Script(Path(folder))
    engine = make_engine(DatabaseGroup(database_url=database_url), "handling")
    subscription = Subscription(ASSIGNMENT_ROSTER, {AttorneyChanged: script.handle}, after_commit=script.after_commit)
    worker = Worker(
        name="handling",
        engine=engine,
        consumer=Consumer(
            amqp_url, [subscription], make_sessions(engine), ConsumerGroup(), lambda: ping(engine), "handling"
        ),
        relay=NoRelay(database_url, amqp_url, RelayGroup(), "handling"),
        ops_host="127.0.0.1",
        ops_port=0,
        stall_limit=600.0,
    )
    return worker.run()


def supervise() -> int:
    asked_to_stop = {signal.SIGTERM}
    while True:
        signal.pthread_sigmask(signal.SIG_BLOCK, asked_to_stop)
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, asked_to_stop)
            os._exit(work())
        signal.signal(signal.SIGTERM, lambda *_, child=pid: os.kill(child, signal.SIGTERM))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, asked_to_stop)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code != DEATH:
            return code
        sys.stdout.write("died\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(supervise())
