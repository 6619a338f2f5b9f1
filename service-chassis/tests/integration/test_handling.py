"""An event has its effect once and whole; what fails is given up after its tries, and harms no neighbour."""

import asyncio
import hashlib
from typing import Any
from uuid import uuid4

import pytest
from aio_pika.abc import AbstractIncomingMessage
from service_chassis import outbox, telemetry
from service_chassis.envelope import BODY_LIMIT_BYTES, Envelope
from shared_schemas.events import AttorneyChanged, LeadClosed
from shared_schemas.topology import ASSIGNMENT_ROSTER
from sqlalchemy.ext.asyncio import AsyncSession

from .bench import ROSTER, Bench, changed
from .handling import LEAD, NOTE, all_acked, handled, note, subscribed
from .waiting import eventually, until


async def test_effect_outgoing_event_and_claim_are_made_together(bench: Bench) -> None:
    async with bench.consuming(subscribed(note)):
        message_id = await bench.publish(changed("one"))
        await handled(bench, "one")
    assert await bench.sql.fetchval("SELECT queue || ' ' || message_id FROM inbox") == f"{ROSTER} {message_id}"
    assert await bench.count("outbox") == 1
    assert await bench.count("failures") == await bench.count("delivery_marks") == 0
    assert await bench.take() is None


@pytest.mark.parametrize("step", ["before anything", "after the effect", "after the event", "at the commit"])
async def test_a_fault_between_any_two_statements_leaves_none_of_them(bench: Bench, step: str) -> None:
    left: list[tuple[int, ...]] = []

    async def failing_once(session: AsyncSession, event: AttorneyChanged, envelope: Envelope) -> None:
        first = envelope.rejections == 0
        if not first:
            left.append(tuple([await bench.count(table) for table in ("effects", "outbox", "inbox")]))
        if first and step == "before anything":
            raise ValueError
        await session.execute(NOTE, {"note": event.name})
        if first and step == "after the effect":
            raise ValueError
        await outbox.add(session, LeadClosed(lead_id=LEAD, epoch=1))
        if first and step == "after the event":
            raise ValueError
        if first and step == "at the commit":
            await session.execute(NOTE, {"note": "refused at commit"})

    async with bench.consuming(subscribed(failing_once)):
        await bench.publish(changed("one"))
        await handled(bench, "one")
    assert left == [(0, 0, 0)]
    assert [await bench.count(table) for table in ("effects", "outbox", "inbox")] == [1, 1, 1]
    assert await bench.count("failures") == 0, "the failure is forgotten with the success"


async def test_five_copies_at_once_for_two_consumers_have_one_effect(bench: Bench) -> None:
    event, message_id = changed("one"), str(uuid4())
    repeated = telemetry.HANDLED.labels(ROSTER, "repeated")
    before = repeated._value.get()
    async with bench.consuming(subscribed(note)), bench.consuming(subscribed(note)):
        await asyncio.gather(*(bench.publish(event, message_id=message_id) for _ in range(5)))
        await until(repeated._value.get, lambda count: count == before + 4)
    assert await bench.effects() == ["one"]
    assert await bench.count("outbox") == 1


async def test_a_handler_that_always_fails_is_given_up_after_n_tries_and_its_neighbours_go_on(bench: Bench) -> None:
    tries: list[int] = []

    async def failing(session: AsyncSession, event: AttorneyChanged, envelope: Envelope) -> None:
        if event.name == "bad":
            tries.append(envelope.rejections)
            await session.execute(NOTE, {"note": "half done"})
            raise LookupError("CANARY jane.doe@example.org")
        await note(session, event, envelope)

    event = changed("bad")
    async with bench.consuming(subscribed(failing), consumer_max_attempts=3):
        message_id = await bench.publish(event, headers={"x-own": "1"})
        for number in range(5):
            await bench.publish(changed(f"good {number}"))
        (dead,) = await eventually(bench.dead_letters, bool)
        await handled(bench, *(f"good {number}" for number in range(5)))
    assert tries == [0, 1, 2]
    assert (dead.queue, dead.message_id, dead.message_type) == (ROSTER, message_id, AttorneyChanged.type)
    assert (dead.attempts, dead.error_type) == (3, "LookupError")
    assert dead.error_place.rpartition(":")[0].endswith("test_handling")
    assert dead.body == event.model_dump_json().encode()
    assert not dead.body_truncated
    assert dead.headers == {"x-own": "1"}
    assert "CANARY" not in dead.model_dump_json()
    assert await bench.count("failures") == 0
    await all_acked(bench)


async def test_a_message_that_fails_waits_in_the_retry_queue(bench: Bench) -> None:
    async def failing(*_: object) -> None:
        raise ValueError

    async with bench.consuming(subscribed(failing)):
        await bench.publish(changed())
        await eventually(lambda: bench.count("failures WHERE attempts >= 2"), bool)
    assert await bench.dead_letters() == []
    message = await eventually(bench.take, lambda taken: taken is not None)
    assert isinstance(message, AbstractIncomingMessage)
    found = message.headers["x-death"]
    assert isinstance(found, list)
    deaths = {(death["queue"], death["reason"]) for death in found if isinstance(death, dict)}
    assert deaths == {(ROSTER, "rejected"), (ASSIGNMENT_ROSTER.retry_name, "expired")}


BIG = b'{"lead_id": "3f0c9d1e-5a44-4d6b-9c53-0c8a6a1f2b77", "x": "' + b"y" * 5_000_000 + b'"}'


POISON: dict[str, tuple[str, bytes, dict[str, Any]]] = {
    "json": ("invalid_body", b'{"half": ', {}),
    "not-utf8": ("invalid_body", b"\xff\xfe not \x00 text", {}),
    "empty": ("invalid_body", b"", {}),
    "5MB": ("invalid_body", BIG, {}),
    "type": ("unknown_type", b'{"n": 1}', {"message_type": "attorney.exploded.v1"}),
    "version": ("unknown_type", b'{"n": 2}', {"message_type": "attorney.changed.v2"}),
    "no-type": ("unknown_type", b'{"n": 3}', {"message_type": None}),
    "no-id": ("missing_message_id", b'{"n": 4}', {"message_id": None}),
    "nul-id": ("missing_message_id", b'{"n": 5}', {"message_id": "nul\x00"}),
    "nul-elsewhere": (
        "unknown_type",
        b'{"n": 6}',
        {"message_type": "nul\x00", "headers": {"nul\x00": "nul\x00", "table": {"a": [1]}}},
    ),
}


async def test_poison_of_every_kind_is_given_up_at_once_with_its_body(bench: Bench) -> None:
    async with bench.consuming(subscribed(note)):
        for _, body, properties in POISON.values():
            await bench.publish(body=body, **properties)
        await bench.publish(changed("neighbour"))
        found = await eventually(bench.dead_letters, lambda dead: len(dead) >= len(POISON))
        await handled(bench, "neighbour")
    by_body = {dead.body: dead for dead in found}
    assert len(found) == len(by_body) == len(POISON)
    for name, (reason, body, _) in POISON.items():
        dead = by_body[body[:BODY_LIMIT_BYTES]]
        assert (dead.error_type, dead.attempts) == (f"Poison:{reason}", 1), name
        assert dead.body_truncated == (len(body) > BODY_LIMIT_BYTES), name
        assert dead.body_sha256 == hashlib.sha256(body).hexdigest(), name
        assert dead.lead_id == (LEAD if body is BIG else None), name
    assert await bench.count("failures") == 0
    await all_acked(bench)
