"""The loop: woken at once, bounded, and never two senders on one delivery."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import cast
from uuid import uuid4

import asyncpg
import pytest
from mailer_worker.attempt import run_attempt
from mailer_worker.mail_sender import Ambiguous
from mailer_worker.repository import CHANNEL
from mailer_worker.use_cases.clear_contact_data import clear_contact_data
from service_chassis.database import Sessions
from service_chassis.listening import listen
from shared_schemas.events import LeadReachedOut
from sqlalchemy.ext.asyncio import AsyncSession

from ..bench import Bench
from ..scripted_relay import ScriptedRelay, Step


async def test_three_senders_at_once_send_each_delivery_once(bench: Bench, relay: ScriptedRelay) -> None:
    leads = [bench.assigned(lead_id=uuid4(), email=f"{number}@p.example") for number in range(40)]
    await bench.hear(bench.assigned())
    async with bench.sending(3):
        await bench.hear(*leads)
        for lead in leads:
            await bench.until(lambda found: found[0].state == "sent", lead_id=lead.lead_id)
    assert sorted(one.recipients[0] for one in relay.received) == sorted([bench.address, *(one.email for one in leads)])
    said = await bench.said()
    assert len({one.lead_id for one in said if isinstance(one, LeadReachedOut)}) == len(said) == 41


async def test_no_more_attempts_run_at_once_than_the_setting_says(bench: Bench, relay: ScriptedRelay) -> None:
    bench.change(sender_concurrency=2, smtp_deadline=5.0, smtp_lease=30.0)
    for number in range(5):
        relay.script[f"{number}@p.example"].append(Step("dot", accident="hang"))
        await bench.hear(bench.assigned(lead_id=uuid4(), email=f"{number}@p.example"))
    async with bench.sending() as (sender,):
        await relay.reached.wait()
        for _ in range(3):
            sender.wake()
            await asyncio.sleep(0.1)
        in_flight = relay.connections
        relay.hold.set()
    assert in_flight == 2


async def test_a_stored_delivery_wakes_the_sender_through_the_database(bench: Bench, relay: ScriptedRelay) -> None:
    bench.change(sender_tick=60.0)
    stop = asyncio.Event()
    async with bench.sending() as (sender,):
        woken = asyncio.Event()

        def wake() -> None:
            woken.set()
            sender.wake()

        listening = asyncio.create_task(
            listen(bench.settings.database_url.get_secret_value(), CHANNEL, "mailer-worker", wake, stop)
        )
        await asyncio.wait_for(woken.wait(), 5)
        began = time.monotonic()
        await bench.hear(bench.assigned())
        await bench.until(lambda found: found[0].state == "sent")
        stop.set()
        await listening
    assert time.monotonic() - began < 5
    assert len(relay.received) == 1


async def test_the_listener_comes_back_when_its_connection_is_cut(bench: Bench) -> None:
    stop, wakes = asyncio.Event(), asyncio.Queue[None]()
    url = bench.settings.database_url.get_secret_value()
    listening = asyncio.create_task(listen(url, CHANNEL, "mailer-worker", lambda: wakes.put_nowait(None), stop))
    await asyncio.wait_for(wakes.get(), 5)
    connection = await asyncpg.connect(url)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'mailer-worker listening' AND datname = current_database()"
    )
    await asyncio.wait_for(wakes.get(), 5)
    await connection.execute("NOTIFY deliveries")
    await asyncio.wait_for(wakes.get(), 5)
    await connection.close()
    stop.set()
    await listening
    assert wakes.empty()


async def test_an_outcome_is_written_once_the_database_answers_again(bench: Bench, relay: ScriptedRelay) -> None:
    await bench.hear(bench.assigned())
    (attempt,) = await bench.claim()
    flaky = FailingAt(bench.sessions, 2)
    await run_attempt(attempt, cast(Sessions, flaky), bench.smtp, bench.settings)
    assert (flaky.begun, (await bench.delivery()).state, len(relay.received)) == (3, "sent", 1)
    assert [one.ambiguous for one in await bench.said()] == [False]


async def test_an_outcome_is_written_after_the_lease_too_if_only_the_database_was_away(
    bench: Bench, relay: ScriptedRelay
) -> None:
    await bench.hear(bench.assigned())
    (attempt,) = await bench.claim()
    bench.change(smtp_lease=0.0)
    flaky = FailingAt(bench.sessions, 2)
    await run_attempt(attempt, cast(Sessions, flaky), bench.smtp, bench.settings)
    assert (flaky.begun, (await bench.delivery()).state, len(relay.received)) == (3, "sent", 1)


async def test_after_the_lease_a_broken_statement_is_not_tried_for_ever(bench: Bench) -> None:
    await bench.hear(bench.assigned())
    (attempt,) = await bench.claim()
    bench.change(smtp_lease=0.0)
    flaky = FailingAt(bench.sessions, 2, ValueError())
    await run_attempt(attempt, cast(Sessions, flaky), bench.smtp, bench.settings)
    assert (flaky.begun, (await bench.delivery()).state) == (2, "sending")


async def test_after_the_lease_an_attempt_that_was_cut_does_not_wait_for_the_database(
    bench: Bench, relay: ScriptedRelay
) -> None:
    relay.script[bench.address].append(Step("dot", accident="hang"))
    await bench.hear(bench.assigned())
    (attempt,) = await bench.claim()
    bench.change(smtp_lease=0.0)
    flaky = FailingAt(bench.sessions, 2)
    running = asyncio.create_task(run_attempt(attempt, cast(Sessions, flaky), bench.smtp, bench.settings))
    await relay.reached.wait()
    running.cancel()
    assert (await running, flaky.begun) == (Ambiguous("stopped"), 2)


async def test_a_process_does_not_take_its_own_late_attempt_for_lost(bench: Bench, relay: ScriptedRelay) -> None:
    bench.change(smtp_deadline=10.0)
    relay.script[bench.address].append(Step("dot", accident="hang"))
    dead = bench.assigned(lead_id=uuid4(), email="dead@p.example")
    await bench.hear(dead)
    await bench.claim()
    await bench.hear(bench.assigned())
    async with bench.sending():
        await relay.reached.wait()
        await bench.end_leases()
        await bench.until(lambda found: found[0].state == "sent", lead_id=dead.lead_id)
        relay.hold.set()
        (late,) = await bench.until(lambda found: found[0].state == "sent")
    assert (late.attempt, late.ambiguous, len(relay.mails_to(bench.address))) == (1, False, 1)


class FailingAt:
    """Sessions of a database that fails once: at the given transaction (1: the check before DATA), or at its end."""

    def __init__(
        self, sessions: Sessions, number: int, error: Exception | None = None, *, at_end: bool = False
    ) -> None:
        self._sessions = sessions
        self._number = number
        self._error = error or ConnectionError()
        self._at_end = at_end
        self.begun = 0

    def begin(self) -> AbstractAsyncContextManager[AsyncSession]:
        self.begun += 1
        if self.begun != self._number:
            return self._sessions.begin()
        if self._at_end:
            return self._begin_and_fail()
        raise self._error

    @asynccontextmanager
    async def _begin_and_fail(self) -> AsyncIterator[AsyncSession]:
        async with self._sessions.begin() as session:
            yield session
        raise self._error


@pytest.mark.parametrize("at_end", [False, True], ids=["", "at its end"])
@pytest.mark.parametrize("error", [ConnectionError(), asyncpg.QueryCanceledError("too slow")], ids=repr)
async def test_a_database_away_or_slow_at_the_last_check_puts_the_delivery_back_unsent(
    bench: Bench, relay: ScriptedRelay, error: Exception, at_end: bool
) -> None:
    await bench.hear(bench.assigned())
    (attempt,) = await bench.claim()
    flaky = FailingAt(bench.sessions, 1, error, at_end=at_end)
    await run_attempt(attempt, cast(Sessions, flaky), bench.smtp, bench.settings)
    delivery = await bench.delivery()
    assert (relay.received, delivery.state, delivery.ambiguous, delivery.attempts_made) == ([], "deferred", False, 0)
    await bench.send_due()
    assert len(relay.received) == 1


async def test_contact_data_of_a_finished_delivery_goes_after_its_retention(bench: Bench) -> None:
    await bench.hear(bench.assigned())
    await bench.send_due()
    await bench.said()
    assert await _clear(bench) == 0
    await bench.sql("UPDATE deliveries SET changed_at = now() - interval '31 days'")
    assert await _clear(bench) == 1
    everything = await bench.everything()
    assert [word for word in ("Ada", "Byron", bench.address) if word in everything] == []


async def _clear(bench: Bench, at_most: int = 10) -> int:
    async with bench.sessions.begin() as session:
        return await clear_contact_data(session, at_most, retention_days=30)


async def test_contact_data_goes_in_batches(bench: Bench) -> None:
    for number in range(3):
        await bench.hear(bench.assigned(lead_id=uuid4(), email=f"{number}@p.example"))
    await bench.send_due()
    await bench.sql("UPDATE deliveries SET changed_at = now() - interval '31 days'")
    assert [await _clear(bench, at_most=2) for _ in range(3)] == [2, 1, 0]


async def test_a_waiting_delivery_keeps_its_contact_data_however_old(bench: Bench) -> None:
    await bench.hear(bench.assigned())
    await bench.sql("UPDATE deliveries SET changed_at = now() - interval '31 days'")
    assert (await _clear(bench), (await bench.delivery()).address) == (0, bench.address)
