"""A process that logs an error in every way there is; the error's text must not come out."""

import asyncio
import gc
import logging

import structlog
from service_chassis.telemetry import configure_logging


def fail() -> None:
    raise ValueError("CANARY jane.doe@example.org")


async def fail_later() -> None:
    fail()


async def main() -> None:
    log, plain = structlog.get_logger("ours"), logging.getLogger("a.library")
    try:
        fail()
    except ValueError as error:
        log.exception("structlog")
        log.error("structlog_info", exc_info=error)
        plain.exception("stdlib")
        plain.error("stdlib_info", exc_info=error, stack_info=True)
        plain.error("extra", extra={"typed": "CANARY"})
    task = asyncio.create_task(fail_later())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    gc.collect()
    asyncio.get_running_loop().call_soon(fail)
    await asyncio.sleep(0)
    await asyncio.sleep(0)


configure_logging("talkative")
asyncio.run(main())
fail()
