"""The load of a soak: prospects at a steady pace, some from two windows at once, and patient clients who post."""

import asyncio
from collections.abc import Callable

from e2e.clients import Person, http_client, submit
from e2e.documents import small_pdf

from chaos.run import Run

CLIENTS = 16
ANSWERS = frozenset({"201", "409", "503", "unknown"})
"""What a client may be told while things break."""
TWICE_EVERY = 20
"""One prospect of so many posts from two windows at once: two keys, two resumes, one lead."""
_SUBMIT_WITHIN = 600.0

Submission = tuple[Person, bytes]
"""Who posts, and the resume."""


class Load:
    """``rate`` prospects a second for as long as ``goes_on``; when every client waits, they wait too.

    ``twice`` gets the addresses of those who post from two windows.
    """

    def __init__(
        self,
        run: Run,
        rate: float,
        goes_on: Callable[[], bool],
        on_person: Callable[[Person], None],
        twice: set[str],
    ) -> None:
        self._run = run
        self._rate = rate
        self._goes_on = goes_on
        self._on_person = on_person
        self._submissions: asyncio.Queue[Submission | None] = asyncio.Queue(CLIENTS)
        self._twice = twice

    async def carry(self) -> None:
        """Bring the prospects, and end when each has its answer."""
        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(self._client(), name=f"client-{number}")
            group.create_task(self._arrivals(), name="arrivals")

    async def _arrivals(self) -> None:
        number = 0
        while self._goes_on():
            number += 1
            person = self._run.scenario.crowd.person()
            self._on_person(person)
            resumes = [person.resume]
            if number % TWICE_EVERY == 0:
                self._twice.add(person.email)
                resumes.append(small_pdf(f"{person.message} And more."))
            for resume in resumes:
                await self._submissions.put((person, resume))
            await asyncio.sleep(1 / self._rate)
        for _ in range(CLIENTS):
            await self._submissions.put(None)

    async def _client(self) -> None:
        log = self._run.scenario.log
        async with http_client(self._run.stack) as client:
            while submission := await self._submissions.get():
                response = await submit(client, log, *submission, within=_SUBMIT_WITHIN)
                self._run.check(response.status_code == 201, f"a lead was answered {response.status_code} in the end")
