"""The loop: woken at once, bounded, and never two senders on one delivery."""

import asyncio
import time
from uuid import uuid4

import asyncpg
from mailer_worker.listener import listen
from mailer_worker.use_cases.clear_contact_data import clear_contact_data
from shared_schemas.events import LeadReachedOut

from ..bench import Bench
from ..scripted_relay import ScriptedRelay, Step


async def test_three_senders_at_once_send_each_delivery_once(bench: Bench, relay: ScriptedRelay) -> None:
    leads = [bench.assigned(lead_id=uuid4(), email=f"{number}@p.example") for number in range(40)]
    await bench.hear(bench.assigned())
    async with bench.sending(3):
        await bench.hear(*leads)
        for lead in leads:
            bench.lead_id = lead.lead_id
            await bench.until(lambda found: found[0].state == "sent")
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

        listening = asyncio.create_task(listen(bench.settings.database_url.get_secret_value(), wake, stop))
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
    listening = asyncio.create_task(listen(url, lambda: wakes.put_nowait(None), stop))
    await asyncio.wait_for(wakes.get(), 5)
    connection = await asyncpg.connect(url)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'mailer-worker listener' AND datname = current_database()"
    )
    await asyncio.wait_for(wakes.get(), 5)
    await connection.execute("NOTIFY deliveries")
    await asyncio.wait_for(wakes.get(), 5)
    await connection.close()
    stop.set()
    await listening
    assert wakes.empty()


async def test_an_outcome_is_written_once_the_database_answers_again(bench: Bench, relay: ScriptedRelay) -> None:
    bench.change(smtp_deadline=5.0, smtp_lease=30.0, sender_grace=5.0)
    relay.script[bench.address].append(Step("dot", accident="hang"))
    await bench.hear(bench.assigned())
    async with bench.sending():
        await relay.reached.wait()
        await _cut_connections(bench)
        relay.hold.set()
        await bench.until(lambda found: found[0].state == "sent")
    assert [one.ambiguous for one in await bench.said()] == [False]


async def _cut_connections(bench: Bench) -> None:
    connection = await asyncpg.connect(bench.settings.database_url.get_secret_value())
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    await connection.close()


async def test_contact_data_of_a_finished_delivery_goes_after_its_retention(bench: Bench) -> None:
    await bench.hear(bench.assigned())
    await bench.send_due()
    await bench.said()
    assert await _clear(bench) == 0
    await bench.sql("UPDATE deliveries SET changed_at = now() - interval '31 days'")
    assert await _clear(bench) == 1
    everything = await bench.everything()
    assert [word for word in ("Ada", "Byron", bench.address) if word in everything] == []


async def _clear(bench: Bench) -> int:
    async with bench.sessions.begin() as session:
        return await clear_contact_data(session, 30)


async def test_a_waiting_delivery_keeps_its_contact_data_however_old(bench: Bench) -> None:
    await bench.hear(bench.assigned())
    await bench.sql("UPDATE deliveries SET changed_at = now() - interval '31 days'")
    assert (await _clear(bench), (await bench.delivery()).address) == (0, bench.address)
