"""Many large uploads at once: taken, and not held in memory."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

import psutil
from e2e.checker import Scenario
from e2e.clients import Encoding, http_client, submit
from e2e.documents import MIB, large_pdf
from e2e.stack import Stack

UPLOADS = 32
ALLOWED_GROWTH = 200 * MIB


class MemoryWatch:
    """Samples the resident memory of some processes, children included, until stopped."""

    def __init__(self, pids: list[int]) -> None:
        self._processes = [psutil.Process(pid) for pid in pids]
        self._processes += [child for one in self._processes for child in one.children(recursive=True)]
        self._stop = threading.Event()
        self.before = self.peak = self._resident()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def growth(self) -> int:
        return self.peak - self.before

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            self.peak = max(self.peak, self._resident())

    def _resident(self) -> int:
        total = 0
        for process in self._processes:
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total


async def test_s01_32_uploads_of_10_mib_at_once_grow_the_api_by_at_most_200_mb(
    stack: Stack, scenario: Scenario, report: Callable[[str], None]
) -> None:
    resume = large_pdf(10 * MIB)
    people = scenario.crowd.people(UPLOADS)
    pids = stack.pids("intake-api")

    async def upload(number: int) -> int:
        encoding: Encoding = "json" if number % 2 else "multipart"
        async with http_client(stack, timeout=120.0) as client:
            response = await submit(client, scenario.log, people[number], resume, encoding=encoding)
            return response.status_code

    with MemoryWatch(pids) as memory:
        statuses = await asyncio.gather(*(upload(number) for number in range(UPLOADS)))

    seconds = scenario.log.latencies()[-1]
    report(
        f"  {UPLOADS} x 10 MiB: all answered within {seconds:.1f} s; API memory {memory.before / MIB:.0f} MiB, "
        f"at most {memory.growth / MIB:.0f} MiB more"
    )
    assert statuses == [201] * UPLOADS
    assert set(scenario.log.statuses()) == {"201"}, "each upload was taken at the first attempt"
    assert stack.pids("intake-api") == pids, "the process was not restarted"
    assert memory.growth <= ALLOWED_GROWTH
    await scenario.verify()
