"""The load of a soak: prospects at a steady pace, and patient clients who post their leads."""

import asyncio
from collections.abc import Callable

from e2e.clients import Person, http_client, submit

from chaos.run import Run

CLIENTS = 16
ANSWERS = frozenset({"201", "409", "503", "unknown"})
"""What a client may be told while things break."""
_SUBMIT_WITHIN = 600.0


class Load:
    """``rate`` prospects a second for as long as ``goes_on``; when every client waits, they wait too."""

    def __init__(self, run: Run, rate: float, goes_on: Callable[[], bool], on_person: Callable[[Person], None]) -> None:
        self._run = run
        self._rate = rate
        self._goes_on = goes_on
        self._on_person = on_person
        self._people: asyncio.Queue[Person | None] = asyncio.Queue(CLIENTS)

    async def carry(self) -> None:
        """Bring the prospects, and end when each has its answer."""
        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(self._client(), name=f"client-{number}")
            group.create_task(self._arrivals(), name="arrivals")

    async def _arrivals(self) -> None:
        while self._goes_on():
            person = self._run.scenario.crowd.person()
            self._on_person(person)
            await self._people.put(person)
            await asyncio.sleep(1 / self._rate)
        for _ in range(CLIENTS):
            await self._people.put(None)

    async def _client(self) -> None:
        log = self._run.scenario.log
        async with http_client(self._run.stack) as client:
            while person := await self._people.get():
                response = await submit(client, log, person, person.resume, within=_SUBMIT_WITHIN)
                self._run.check(response.status_code == 201, f"a lead was answered {response.status_code} in the end")
