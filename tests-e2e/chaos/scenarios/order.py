"""Events that overtake each other: erasure before what it erases, a newer decision before an older one."""

import asyncio
import uuid
from collections.abc import Awaitable, Iterable, Sequence
from functools import partial

import httpx
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from e2e import evidence, roster
from e2e.eventually import eventually

from chaos.members import Member
from chaos.run import Run, VoidRunError, scenario
from chaos.scenarios.messages import channel_of, copy_of, epoch_of, lead_of, put_back, take_all

_LEADS = 8
_ERASED = "lead.erased.v1"
_QUEUES = {"assignment": "assignment.leads", "mailer": "mailer.outreach"}


@scenario("F24")
async def events_come_out_of_order(run: Run) -> None:
    """LeadErased and newer decisions before older ones, and those again at last: no resurrection, the newest holds."""
    workers = run.arena.of("assignment-worker", "mailer-worker")
    for member in workers:
        await run.arena.take_down(member.service)
    try:
        await run.load(_LEADS)
        unheard, unmailed, moved = run.chance.sample(list(run.scenario.log.accepted().values()), 3)
        async with run.staff() as staff, channel_of(run) as channel:
            first, last = run.chance.sample([one["id"] for one in await roster.attorneys(staff) if one["available"]], 2)
            for attorney in (first, last):
                await _done(staff.patch(f"/api/v1/leads/{moved}", json={"assigned_to": attorney}))
            await _done(staff.delete(f"/api/v1/leads/{unheard}"))
            at_assignment = await _taken(run, channel, "assignment.leads", _LEADS + 3)
            await _bring_up(run, run.arena.of("assignment-worker"))
            await _say_first(run, channel, _erasures(at_assignment, unheard), "assignment")
            for message in sorted(_about(at_assignment, moved), key=epoch_of):
                await _say_first(run, channel, [message], "assignment")
                await eventually(partial(_is_chosen, run, message), within=20, what="the lead has an attorney again")
            await put_back(channel, "assignment.leads", at_assignment)
            await eventually(lambda: _owned(run), lambda count: count == _LEADS - 1, within=60, what="all are assigned")
            await _done(staff.delete(f"/api/v1/leads/{unmailed}"))
            at_mailer = await _taken(run, channel, "mailer.outreach", _LEADS + 3)
            await _bring_up(run, run.arena.of("mailer-worker"))
            newest = max(_about(at_mailer, moved), key=epoch_of)
            await _say_first(run, channel, [*_erasures(at_mailer, unmailed), newest], "mailer")
            await put_back(channel, "mailer.outreach", at_mailer)
            run.healed()
            await _handled(run, "assignment", at_assignment)
            await _handled(run, "mailer", at_mailer)
            if len(_about(at_assignment, unheard)) < 2 or len(_about(at_mailer, unmailed)) < 2:
                raise VoidRunError("nothing was overtaken by an erasure")
            if len(_about(at_mailer, moved)) < 2:
                raise VoidRunError("no decision was overtaken by a newer one")
            await run.scenario.settle()
            run.figures["stale"] = await _say_again(channel, "assignment.leads", at_assignment, {unheard, moved})
            run.figures["stale"] += await _say_again(channel, "mailer.outreach", at_mailer, {unmailed, moved})
            await run.scenario.settle()
    finally:
        await _bring_up(run, [member for member in workers if member.service.exit_status() is not None])
    erased = {run.scenario.log.forget(unheard), run.scenario.log.forget(unmailed)}
    for database, query in _TRACES.items():
        rows = await run.fetch_value(database, query, [uuid.UUID(unheard), uuid.UUID(unmailed)])
        run.check(rows == 0, f"{rows} rows of erased leads are back in {database}")
    mailed = erased & {mail.address.lower() for mail in run.arena.smtp.mails}
    run.check(not mailed, f"{len(mailed)} erased people were mailed")
    owner = await run.fetch_value("intake", "SELECT assigned_to FROM leads WHERE id = $1", uuid.UUID(moved))
    introduced = await run.fetch_value(
        "mailer", "SELECT mail_attorney_id FROM deliveries WHERE lead_id = $1", uuid.UUID(moved)
    )
    run.check(str(owner) == last, f"the owner is {owner}, and {last} was the last to be named")
    run.check(introduced == owner, f"the mail introduces {introduced}, and {owner} is the owner")


_TRACES = {
    "intake": "SELECT count(*) FROM leads WHERE id = ANY($1)",
    "assignment": """
        SELECT (SELECT count(*) FROM leads WHERE lead_id = ANY($1) AND state <> 'erased')
        + (SELECT count(*) FROM assignments WHERE lead_id = ANY($1))
    """,
    "mailer": "SELECT count(*) FROM deliveries WHERE lead_id = ANY($1)",
}
_OWNED = "SELECT count(*) FROM leads WHERE created_at >= $1 AND status = 'assigned' AND decision > 0"


async def _done(request: Awaitable[httpx.Response]) -> None:
    answer = await request
    assert answer.is_success, answer.text


async def _bring_up(run: Run, members: Iterable[Member]) -> None:
    await asyncio.gather(*(run.arena.bring_up(member.service) for member in members))


def _about(messages: Iterable[AbstractIncomingMessage], lead: str) -> list[AbstractIncomingMessage]:
    return [one for one in messages if lead_of(one) == lead]


def _erasures(messages: Iterable[AbstractIncomingMessage], lead: str) -> list[AbstractIncomingMessage]:
    return [one for one in _about(messages, lead) if one.type == _ERASED]


async def _taken(run: Run, channel: AbstractChannel, queue: str, count: int) -> list[AbstractIncomingMessage]:
    """Wait until the queue holds so many messages, and take them off it."""

    async def waiting() -> int:
        assert not await _unsent(run)
        found = await channel.get_queue(queue)
        return found.declaration_result.message_count or 0

    await eventually(waiting, lambda seen: seen >= count, within=60, what=f"{count} messages in {queue}")
    return await take_all(channel, queue)


async def _say_first(
    run: Run,
    channel: AbstractChannel,
    chosen: Sequence[AbstractIncomingMessage],
    database: str,
) -> None:
    """Publish these before the rest of what was taken, and wait until they are handled: hearers keep no order.

    They come again with the rest, and have no effect then.
    """
    for one in chosen:
        await channel.default_exchange.publish(copy_of(one), _QUEUES[database])
    await _handled(run, database, chosen)


async def _is_chosen(run: Run, message: AbstractIncomingMessage) -> bool:
    """Whether the lead of a message is assigned in the message's epoch."""
    query = "SELECT count(*) FROM leads WHERE lead_id = $1 AND state = 'assigned' AND epoch = $2"
    return bool(await run.fetch_value("assignment", query, uuid.UUID(lead_of(message)), epoch_of(message)))


async def _unsent(run: Run) -> dict[str, int]:
    return {name: count for name, count in (await evidence.outboxes(run.stack)).items() if count}


async def _owned(run: Run) -> int:
    count: int = await run.fetch_value("intake", _OWNED, run.scenario.since)
    return count


async def _handled(run: Run, database: str, messages: Iterable[AbstractIncomingMessage]) -> None:
    """Wait until every one of these is handled."""
    ids = {str(one.message_id) for one in messages}

    async def missing() -> int:
        query = "SELECT count(*) FROM inbox WHERE message_id = ANY($1)"
        return len(ids) - int(await run.fetch_value(database, query, list(ids)))

    await eventually(missing, lambda count: not count, within=60, what=f"{database} has heard all")


async def _say_again(
    channel: AbstractChannel, queue: str, messages: Iterable[AbstractIncomingMessage], leads: set[str]
) -> int:
    """Publish what is stale by now once more, with ids of its own; give how many."""
    stale = [one for one in messages if lead_of(one) in leads and one.type != _ERASED]
    for one in stale:
        await channel.default_exchange.publish(copy_of(one, message_id=str(uuid.uuid4())), queue)
    return len(stale)
