"""A message is claimed once, together with its effect or not at all."""

import asyncio

from service_chassis import inbox

from .bench import Bench


async def test_one_of_many_claims_at_once_succeeds(bench: Bench) -> None:
    async def claim() -> bool:
        async with bench.sessions.begin() as session:
            return await inbox.claim(session, "q", "id")

    assert sorted(await asyncio.gather(*(claim() for _ in range(8)))) == [False] * 7 + [True]
    assert await bench.count("inbox") == 1


async def test_a_claim_is_rolled_back_with_its_transaction(bench: Bench) -> None:
    async with bench.sessions() as session:
        assert await inbox.claim(session, "q", "id")
        await session.rollback()
    async with bench.sessions.begin() as session:
        assert await inbox.claim(session, "q", "id")


async def test_a_second_claim_waits_for_the_first_and_gets_it_when_that_fails(bench: Bench) -> None:
    async with bench.sessions() as first, bench.sessions() as second:
        assert await inbox.claim(first, "q", "id")
        waiting = asyncio.create_task(inbox.claim(second, "q", "id"))
        assert not (await asyncio.wait([waiting], timeout=0.2))[0]
        await first.rollback()
        assert await waiting
        await second.rollback()


async def test_queues_claim_the_same_message_each_for_itself(bench: Bench) -> None:
    async with bench.sessions.begin() as session:
        assert await inbox.claim(session, "one", "id")
        assert await inbox.claim(session, "other", "id")
        assert not await inbox.claim(session, "one", "id")
