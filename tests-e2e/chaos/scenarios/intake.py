"""The way in: the API dies, the client is cut off, the object store is away or does not answer."""

import asyncio
import uuid
from urllib.parse import urlsplit

import httpx
from e2e import evidence, objects
from e2e.clients import Person, http_client, post_lead
from e2e.documents import large_pdf, small_pdf

from chaos.fault_proxy import COMMIT, FaultProxy, Mode, Trap
from chaos.run import Run, VoidRunError, scenario
from chaos.scenarios.seen import idle_transactions

_LARGE = 4 * 1024 * 1024
_PUT = rb"PUT /"


@scenario("F01")
async def api_dies_between_object_and_commit(run: Run) -> None:
    """API killed with the resume stored and the COMMIT on the way: the same key succeeds, one row."""
    (api,) = run.arena.of("intake-api")
    async with run.under_load():
        for _ in range(30):
            trap = api.hops["database"].arm("c2s", COMMIT, "freeze", skip=run.chance.randrange(6))
            await run.sprung(trap)
            held = await idle_transactions(run, "intake", "UPDATE idempotency_keys%")
            if held:
                break
            api.hops["database"].heal()
        else:
            raise VoidRunError("no commit of a submission was caught")
        await run.arena.kill(api)
        run.figures["orphans"] = len(await evidence.orphans(run.stack, run.scenario.since))
        run.healed()
    run.check(run.figures["orphans"] >= 1, "no object was left of the transactions that died")


@scenario("F03")
async def client_is_cut_off_in_its_upload(run: Run) -> None:
    """The client's connection dies at half of its body: no row; the same key succeeds afterwards."""
    address = urlsplit(run.stack.api_url)
    proxy = await FaultProxy(address.hostname or "", address.port or 0, "client").start()
    person, key, resume = run.scenario.crowd.person(), uuid.uuid4().hex, large_pdf(_LARGE)
    try:
        place = run.chance.randrange(_LARGE // 4, 3 * _LARGE // 4)
        trap = proxy.arm("c2s", _quoted(resume[place : place + 16]), "cut")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{proxy.port}", trust_env=False) as client:
            status = await _post(run, client, person, resume, key, multipart=True)
        if not trap.hit.is_set():
            raise VoidRunError("the upload was not cut")
        run.check(status is None, f"an upload that was cut was answered {status}")
        rows = await run.fetch_value(
            "intake", "SELECT count(*) FROM submissions WHERE received_at >= $1", run.scenario.since
        )
        run.check(rows == 0, f"{rows} rows of half an upload")
        run.healed()
        async with http_client(run.stack) as client:
            status = await _post(run, client, person, resume, key, multipart=True)
        run.check(status == 201, f"the same key was answered {status} afterwards")
    finally:
        await proxy.close()
    run.figures["orphans"] = len(await evidence.orphans(run.stack, run.scenario.since))
    run.check(run.figures["orphans"] == 0, f"{run.figures['orphans']} objects without a row")


@scenario("F04")
async def object_store_is_away(run: Run) -> None:
    """The object store refuses or hangs: 503 with Retry-After inside the deadline, no row; then the same key works."""
    (api,) = run.arena.of("intake-api")
    modes: tuple[Mode, ...] = ("cut", "blackhole")
    mode = run.variant(modes)
    api.hops["store"].mode = mode
    people = [(person, uuid.uuid4().hex) for person in run.scenario.crowd.people(5)]
    async with http_client(run.stack) as client:
        answers = await asyncio.gather(*(_post(run, client, who, small_pdf(), key) for who, key in people))
        run.check(set(answers) == {503}, f"answers {answers} while the store was away ({mode})")
        run.check(run.retry_after, "a 503 without Retry-After")
        slowest = run.scenario.log.latencies()[-1]
        run.check(slowest < 10, f"the slowest 503 took {slowest:.1f} s")
        rows = await run.fetch_value(
            "intake", "SELECT count(*) FROM submissions WHERE received_at >= $1", run.scenario.since
        )
        run.check(rows == 0, f"{rows} rows without an object")
        run.arena.heal()
        run.healed()
        answers = await asyncio.gather(*(_patiently(run, client, who, key) for who, key in people))
        run.check(set(answers) == {201}, f"answers {answers} when the store was back")
    run.figures |= {"mode": mode, "slowest_503_s": round(slowest, 1)}


@scenario("F05")
async def the_stores_answer_is_lost(run: Run) -> None:
    """A resume is stored and the store's answer lost: the submission ends once, at worst with an orphan."""
    (api,) = run.arena.of("intake-api")
    trap = Trap("c2s", _PUT, "swallow_reply_then_cut", skip=run.chance.randrange(10))
    api.hops["store"].set(trap)
    async with run.under_load():
        await run.sprung(trap)
        run.healed()
    run.figures["orphans"] = len(await evidence.orphans(run.stack, run.scenario.since))


async def _post(
    run: Run, client: httpx.AsyncClient, person: Person, resume: bytes, key: str, *, multipart: bool = False
) -> int | None:
    """Post once, in the log; None when no answer came."""
    attempt = run.scenario.log.begin(key, person.email)
    try:
        response = await post_lead(client, person, resume, encoding="multipart" if multipart else "json", key=key)
    except httpx.TransportError:
        run.scenario.log.end(attempt, None)
        return None
    lead_id = response.json()["id"] if response.status_code == 201 else None
    run.scenario.log.end(attempt, response.status_code, lead_id)
    if response.status_code == 503:
        run.retry_after = run.retry_after and "retry-after" in response.headers
    return response.status_code


async def _patiently(run: Run, client: httpx.AsyncClient, person: Person, key: str) -> int | None:
    """Post until it is neither refused for now nor unanswered, for half a minute at most."""
    for _ in range(60):
        status = await _post(run, client, person, small_pdf(), key)
        if status not in (None, 409, 503):
            break
        await asyncio.sleep(0.5)  # as the answer asks
    return status


def _quoted(part: bytes) -> bytes:
    """As a pattern that matches these bytes only."""
    return b"".join(rb"\x%02x" % byte for byte in part)


@scenario("F07")
async def the_same_key_is_raced(run: Run) -> None:
    """Twenty identical requests with one key at once, to two APIs: one row, one lead, one mail."""
    added = await run.arena.add("intake-api", 1)
    person, key = run.scenario.crowd.person(), uuid.uuid4().hex

    async def post() -> int | None:
        async with http_client(run.stack) as client:
            return await _patiently(run, client, person, key)

    try:
        answers = await asyncio.gather(*(post() for _ in range(_RACERS)))
    finally:
        for member in added:
            await run.arena.take_down(member.service)
            await run.arena.dismiss(member)
    run.healed()
    run.check(set(answers) == {201}, f"answers {answers}")
    leads = {attempt.lead_id for attempt in run.scenario.log.attempts if attempt.status == 201}
    run.check(len(leads) == 1, f"one key was answered with {len(leads)} leads")
    rows = await run.fetch_value(
        "intake", "SELECT count(*) FROM submissions WHERE received_at >= $1", run.scenario.since
    )
    run.check(rows == 1, f"{rows} rows of one key")


_RACERS = 20


@scenario("F06")
async def an_object_is_gone(run: Run) -> None:
    """A resume is deleted behind our back: staff are told 404, the checker sees it, the lead is unaffected."""
    await run.load(5)
    await run.reached()
    row = run.chance.choice(
        await run.fetch(
            "intake", "SELECT lead_id, resume_key FROM submissions WHERE received_at >= $1", run.scenario.since
        )
    )
    await asyncio.to_thread(objects.remove, run.stack, row["resume_key"])
    run.expected["I10 dangling"] = 1
    run.healed()
    async with run.staff() as staff:
        answer = await staff.get(f"/api/v1/leads/{row['lead_id']}/resume")
        run.check(answer.status_code == 404, f"a resume that is gone was answered {answer.status_code}")
        kind = answer.headers["content-type"]
        run.check(kind.startswith("application/problem+json"), f"it was answered as {kind}")
        lead = await staff.get(f"/api/v1/leads/{row['lead_id']}")
        run.check(lead.status_code == 200, f"its lead was answered {lead.status_code}")
