"""Clients of the product: prospects who post leads, patiently, and staff who are logged in."""

import asyncio
import base64
import json
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

import httpx

from e2e.client_log import ClientLog
from e2e.documents import small_pdf
from e2e.stack import Stack

Encoding = Literal["json", "multipart"]
_TLS = ssl.create_default_context()  # made once: each takes 20 ms


@dataclass(frozen=True)
class Person:
    """A prospect. What ``Crowd`` makes has canaries in every field, so that each is found where it must not be."""

    first_name: str
    last_name: str
    email: str
    phone: str | None = None
    message: str | None = None

    @property
    def fields(self) -> dict[str, str]:
        """What they type."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def resume(self) -> bytes:
        """Their resume; its text is their message."""
        return small_pdf(self.message) if self.message else small_pdf()


UNSPOKEN, PHONE = "unspoken", "+1555"
"""How messages and phone numbers of a crowd begin: what no event may carry (docs/design.md, section 4)."""


class Crowd:
    """Makes prospects of one scenario: its ``canary`` is in name and address, ``unspoken`` in the rest."""

    def __init__(self) -> None:
        self.canary = f"canary{uuid.uuid4().hex[:12]}"
        self.unspoken = (f"{UNSPOKEN}{uuid.uuid4().hex[:12]}", f"{PHONE}{uuid.uuid4().int % 10**7:07}")
        """A word of message and resume, and the phone number: they are in no event either."""
        self._made = 0

    def person(self) -> Person:
        self._made += 1
        word, phone = self.unspoken
        address = f"{self.canary}.{self._made}@example.com"
        return Person(f"Jo{self.canary}", f"Doe{self._made}", address, phone, f"I am {word}.")

    @property
    def words(self) -> tuple[str, ...]:
        """What is in no log and no metric."""
        return self.canary, *self.unspoken

    def people(self, count: int) -> list[Person]:
        return [self.person() for _ in range(count)]


@asynccontextmanager
async def http_client(stack: Stack, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    options.setdefault("timeout", 30.0)
    async with httpx.AsyncClient(base_url=stack.api_url, verify=_TLS, trust_env=False, **options) as client:
        yield client


async def log_in(client: httpx.AsyncClient, stack: Stack) -> str:
    """Give the admin's token."""
    admin = stack.run["admin"]
    form = {"username": admin["email"], "password": admin["password"]}
    response = await client.post("/api/v1/auth/token", data=form)
    assert response.status_code == 200, response.text
    token: str = response.json()["access_token"]
    return token


def json_body(person: Person, resume: bytes, **more: object) -> bytes:
    """A submission as JSON with its resume in base64."""
    head = json.dumps({**person.fields, **more})[:-1].encode()
    return head + b', "resume": "' + base64.b64encode(resume) + b'"}'


async def post_lead(
    client: httpx.AsyncClient,
    person: Person,
    resume: bytes,
    *,
    encoding: Encoding = "json",
    key: str | None = None,
) -> httpx.Response:
    """Post a lead once."""
    headers = {"Idempotency-Key": key} if key else {}
    if encoding == "json":
        headers["Content-Type"] = "application/json"
        return await client.post("/api/v1/leads", content=json_body(person, resume), headers=headers)
    files = {"resume": ("resume.pdf", resume, "application/pdf")}
    return await client.post("/api/v1/leads", data=person.fields, files=files, headers=headers)


async def submit(
    client: httpx.AsyncClient,
    log: ClientLog,
    person: Person,
    resume: bytes,
    *,
    encoding: Encoding = "json",
    within: float = 60.0,
) -> httpx.Response:
    """Post a lead as a careful client does: no answer, 409 and 503 are repeated with the same Idempotency-Key.

    A wait that the server asks for is cut to a second: asking again is harmless. Past ``within`` seconds the last
    answer is given, or AssertionError raised when there never was one.
    """
    key, ends = uuid.uuid4().hex, time.monotonic() + within
    while True:
        attempt, response = log.begin(key, person.email), None
        try:
            response = await post_lead(client, person, resume, encoding=encoding, key=key)
        except httpx.TransportError:
            log.end(attempt, None)
        except BaseException:
            log.end(attempt, None)
            raise
        else:
            lead_id = response.json()["id"] if response.status_code == 201 else None
            log.end(attempt, response.status_code, lead_id, response.headers.get("Retry-After"))
            if response.status_code not in (409, 503):
                return response
        if time.monotonic() > ends:
            assert response is not None, f"no answer for {within:g} s"
            return response
        asked = float(response.headers.get("Retry-After", "0.2")) if response is not None else 0.2
        await asyncio.sleep(min(asked, 1.0))


async def submit_all(stack: Stack, log: ClientLog, people: Sequence[Person], *, clients: int = 20) -> None:
    """Post everybody's lead by ``clients`` clients at once; every one must end in 201."""
    waiting = list(reversed(people))

    async def one_client() -> None:
        async with http_client(stack) as client:
            while waiting:
                person = waiting.pop()
                encoding: Encoding = "json" if len(waiting) % 2 else "multipart"
                response = await submit(client, log, person, person.resume, encoding=encoding)
                assert response.status_code == 201, response.text

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(one_client())
