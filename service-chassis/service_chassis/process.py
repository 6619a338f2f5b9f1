"""The life of a worker process: start, watch, stop in order, exit 0.

Stop order: stop consuming and drain handlers; stop the loops; the relay says what is left (at most its
drain time); close. A task that ends by itself ends the process with exit code 1 and one line, and so does a
loop that does not come round (see `pulse`).
"""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from service_chassis import database, telemetry
from service_chassis.consumer import Consumer
from service_chassis.http_server import listen, make_server
from service_chassis.jobs import Job, run_job
from service_chassis.ops import Check, DescribeLead, ops_app
from service_chassis.pulse import Pulse, Watchdog, end_at_once
from service_chassis.relay import Relay
from service_chassis.topology import TopologyMismatchError

log = structlog.get_logger(__name__)

Loop = Callable[[asyncio.Event], Coroutine[None, None, None]]
"""A loop of the service itself; it ends soon after the event is set."""

LOOP_GRACE_S = 15.0
CANCELLED_S = 5.0
"""What a task that was cancelled on stop may still take; then the process goes on without it."""


def forget_imports() -> None:
    """Take all that exists now, the imports above all, out of the garbage collector's rounds: it is never garbage."""
    gc.collect()
    gc.freeze()


@dataclass
class Worker:
    """Everything one worker process runs: its composition root fills this in, and nothing else."""

    name: str
    engine: AsyncEngine
    consumer: Consumer
    relay: Relay
    ops_host: str
    ops_port: int
    stall_limit: float
    loops: Mapping[str, Loop] = field(default_factory=dict)
    jobs: tuple[Job, ...] = ()
    pulses: Mapping[str, Pulse] = field(default_factory=dict)
    ready: Mapping[str, Check] = field(default_factory=dict)
    describe_lead: DescribeLead | None = None

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; return the exit code."""
        forget_imports()
        return asyncio.run(self._run())

    async def _run(self) -> int:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        stages = {name: asyncio.Event() for name in ("consumer", "loops", "relay", "ops")}
        tasks = {
            "consumer": asyncio.create_task(self.consumer.run(stages["consumer"]), name="consumer"),
            "relay": asyncio.create_task(self.relay.run(stages["relay"]), name="relay"),
        }
        for name, loop in self.loops.items():
            tasks[name] = asyncio.create_task(loop(stages["loops"]), name=name)
        for job in self.jobs:
            tasks[job.name] = asyncio.create_task(run_job(job, self.engine, stages["loops"]), name=job.name)
        tasks["ops"] = asyncio.create_task(self._serve_ops(stages["ops"], tasks), name="ops")
        watchdog = Watchdog(self._all_pulses(), self.stall_limit)
        watchdog.start()
        log.info("started", worker=self.name)
        stopper = asyncio.create_task(stop.wait(), name="stop")
        await asyncio.wait([stopper, *tasks.values()], return_when=asyncio.FIRST_COMPLETED)
        code = 0 if stop.is_set() else self._report_death(tasks)
        stopper.cancel()
        watchdog.stop()
        await self._stop_in_order(stages, tasks)
        log.info("stopped", worker=self.name, exit_code=code)
        return code

    def _all_pulses(self) -> dict[str, Pulse]:
        return {"consumer": self.consumer.pulse, **self.relay.pulses, **self.pulses}

    async def _stop_in_order(
        self, stages: Mapping[str, asyncio.Event], tasks: Mapping[str, "asyncio.Task[None]"]
    ) -> None:
        loops = [task for name, task in tasks.items() if name not in stages]
        reported = {task for task in tasks.values() if task.done()}
        for stage, members in (
            ("consumer", [tasks["consumer"]]),
            ("loops", loops),
            ("relay", [tasks["relay"]]),
            ("ops", [tasks["ops"]]),
        ):
            stages[stage].set()
            if members:
                _done, pending = await asyncio.wait(members, timeout=LOOP_GRACE_S)
                for task in pending:
                    log.warning("cancelled_on_stop", task=task.get_name())
                    task.cancel()
                if pending:
                    await asyncio.wait(pending, timeout=CANCELLED_S)
                for task in members:
                    end = task.exception() if task.done() and not task.cancelled() else None
                    if isinstance(end, Exception) and task not in reported:
                        log.warning(
                            "died_on_stop", task=task.get_name(), **telemetry.log_fields(_first_leaf(end) or end)
                        )
        hanging = [name for name, task in tasks.items() if not task.done()]
        if hanging:
            log.error("hangs_on_stop", tasks=hanging)
            end_at_once()
        await self.engine.dispose()

    def _report_death(self, tasks: Mapping[str, "asyncio.Task[None]"]) -> int:
        reasons = set()
        for name, task in tasks.items():
            if task.done():
                error = None if task.cancelled() else task.exception()
                root = _first_leaf(error)
                if isinstance(root, TopologyMismatchError | OSError):
                    if str(root) not in reasons:  # consumer and relay may find the same at the same moment
                        log.error("stopping", task=name, reason=str(root))
                    reasons.add(str(root))
                elif root is not None:
                    log.error("task_died", task=name, **telemetry.log_fields(root))
                else:
                    log.error("task_ended", task=name)
        return 1

    async def _serve_ops(self, stop: asyncio.Event, tasks: Mapping[str, "asyncio.Task[None]"]) -> None:
        async def tasks_alive() -> None:
            dead = [name for name, task in tasks.items() if task.done()]
            if dead:
                raise RuntimeError(f"ended: {', '.join(dead)}")

        async def loops_turning() -> None:
            hanging = [name for name, pulse in self._all_pulses().items() if pulse.silent_for() > self.stall_limit / 2]
            if hanging:
                raise RuntimeError(f"not come round: {', '.join(hanging)}")

        async def broker() -> None:
            if not (self.consumer.is_connected and self.relay.is_connected):
                raise ConnectionError

        async def database_answers() -> None:
            await database.ping(self.engine)

        app = ops_app(
            alive={"tasks": tasks_alive, "loops": loops_turning},
            ready={"database": database_answers, "broker": broker, **self.ready},
            describe_lead=self.describe_lead,
        )
        with contextlib.closing(listen(self.ops_host, self.ops_port)) as listener:
            await make_server(app, grace=2).run_until(stop, [listener])


def _first_leaf(error: BaseException | None) -> BaseException | None:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
