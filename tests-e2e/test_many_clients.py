"""Sixty-four clients post at once for ten seconds: every answer arrives, and the health check stays quick."""

import asyncio
import threading
import time
from collections.abc import Callable

import httpx
from e2e import evidence
from e2e.checker import Scenario
from e2e.clients import http_client, post_lead
from e2e.documents import small_pdf
from e2e.machine import MachineShare
from e2e.stack import Stack

CLIENTS = 64
SECONDS = 10.0
HEALTH_WITHIN = 1.0


class HealthWatch:
    """Asks for the health again and again, from a thread of its own so that our load does not slow it down."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="health", daemon=True)
        self.answers: list[tuple[int, float]] = []

    def __enter__(self) -> "HealthWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        with httpx.Client(base_url=self._url, trust_env=False, timeout=10.0) as client:
            while not self._stop.wait(0.2):
                began = time.monotonic()
                try:
                    status = client.get("/api/v1/healthcheck").status_code
                except httpx.TransportError:
                    status = 0
                self.answers.append((status, time.monotonic() - began))


async def test_64_clients_posting_for_10_s_all_get_their_answers(
    stack: Stack, scenario: Scenario, report: Callable[[str], None]
) -> None:
    resume, log = small_pdf(), scenario.log
    ends = time.monotonic() + SECONDS
    broken: list[str] = []

    async def one_client(number: int) -> None:
        async with http_client(stack) as client:
            while time.monotonic() < ends:
                person = scenario.crowd.person()
                key = f"{scenario.crowd.canary}-{number}-{person.last_name}"
                attempt = log.begin(key, person.email)
                try:
                    response = await post_lead(client, person, resume, key=key)
                except httpx.TransportError as error:
                    log.end(attempt, None)
                    broken.append(repr(error))
                    continue
                log.end(attempt, response.status_code, response.json().get("id"))

    machine, began = MachineShare(stack), time.monotonic()
    with HealthWatch(stack.api_url) as health:
        await asyncio.gather(*(one_client(number) for number in range(CLIENTS)))
        took = time.monotonic() - began

    latencies, share = log.latencies(), machine.share()
    slowest = max(seconds for _, seconds in health.answers)
    report(
        f"  {CLIENTS} clients: {len(latencies) / took:.0f} leads/s, p50 {latencies[len(latencies) // 2]:.2f} s, "
        f"max {latencies[-1]:.2f} s; health check asked {len(health.answers)} times, slowest {slowest:.2f} s; "
        f"{share:.0%} of the machine was ours"
    )
    assert broken == []
    assert set(log.statuses()) == {"201"}
    assert {status for status, _ in health.answers} == {200}
    assert slowest <= HEALTH_WITHIN / share, f"{share:.0%} of the machine was ours"

    stored = await evidence.fetch(
        stack, "intake", "SELECT lead_id FROM submissions WHERE email LIKE $1", f"{scenario.crowd.canary}%"
    )
    assert {str(row["lead_id"]) for row in stored} == set(log.accepted().values())
    await scenario.verify(within=120)
