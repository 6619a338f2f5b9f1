"""The way in: the API dies, the client is cut off, the object store is away or does not answer."""

import asyncio
import uuid
from typing import Literal
from urllib.parse import urlsplit

import httpx
from e2e import evidence, objects
from e2e.clients import Person, http_client, post_lead
from e2e.documents import large_pdf, small_pdf
from e2e.eventually import PATIENCE, eventually

from chaos.fault_proxy import COMMIT, FaultProxy, Mode, Trap
from chaos.members import Member
from chaos.run import Run, VoidRunError, scenario
from chaos.scenarios.busy_store import REFUSALS, BusyStore
from chaos.scenarios.seen import idle_transactions, metric, temporary_bytes

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
    """The client's connection dies at half of its body: no row, no temporary file; the same key succeeds afterwards."""
    (api,) = run.arena.of("intake-api")
    address = urlsplit(run.stack.api_url)
    proxy = await FaultProxy(address.hostname or "", address.port or 0, "client").start()
    person, key, resume = run.scenario.crowd.person(), uuid.uuid4().hex, large_pdf(_LARGE)

    async def spooled() -> int:
        return temporary_bytes(api)

    try:
        place = run.chance.randrange(_LARGE // 2, 3 * _LARGE // 4)
        trap = proxy.arm("c2s", _quoted(resume[place : place + 16]), "freeze")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{proxy.port}", trust_env=False) as client:
            upload = asyncio.create_task(_post(run, client, person, resume, key, multipart=True), name="upload")
            await run.sprung(trap)
            try:
                run.figures["temporary_bytes"] = await eventually(spooled, within=3, every=0.02, what="half is there")
            except AssertionError as error:
                raise VoidRunError("no half of an upload lay in a temporary file") from error
            finally:
                proxy.cut()
                status = await upload
        run.check(status is None, f"an upload that was cut was answered {status}")
        rows = await run.fetch_value(
            "intake", "SELECT count(*) FROM submissions WHERE received_at >= $1", run.scenario.since
        )
        run.check(rows == 0, f"{rows} rows of half an upload")
        await eventually(spooled, lambda size: not size, within=10, what="the temporary file is gone")
        proxy.heal()
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
    """The store is cut, hangs or says 503: 503 with Retry-After inside the deadline, no row; then the key works."""
    (api,) = run.arena.of("intake-api")
    hop = api.hops["store"]
    modes: tuple[Mode | Literal["busy"], ...] = ("cut", "blackhole", "busy")
    mode = run.variant(modes)
    people = [(person, uuid.uuid4().hex) for person in run.scenario.crowd.people(5)]
    busy = await BusyStore(hop, refusals=REFUSALS * len(people)).start() if mode == "busy" else None
    if mode != "busy":
        hop.mode = mode
    try:
        await _away(run, mode, people)
    finally:
        if busy:
            await busy.close()
    if busy and busy.left:
        raise VoidRunError(f"{busy.left} puts were not refused")


async def _away(run: Run, mode: str, people: list[tuple[Person, str]]) -> None:
    async with http_client(run.stack) as client:
        answers = await asyncio.gather(*(_post(run, client, who, small_pdf(), key) for who, key in people))
        run.check(set(answers) == {503}, f"answers {answers} while the store was away ({mode})")
        run.check(run.retry_after, "a 503 without Retry-After")
        slowest = run.scenario.log.latencies()[-1]
        run.check(slowest < 10 * PATIENCE, f"the slowest 503 took {slowest:.1f} s")
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
        kind = response.headers["content-type"]
        run.check(kind.startswith("application/problem+json"), f"a 503 was answered as {kind}")
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
    """A resume is deleted behind our back: staff get 404, audited, the sweep reports it, the lead is unaffected."""
    workers = run.arena.of("intake-worker")
    before = max(await metric(workers, _DANGLING))
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
    refusals = await run.fetch_value("intake", _REFUSED_DOWNLOADS, row["lead_id"])
    run.check(refusals == 1, f"a download that was refused is audited {refusals} times")
    await eventually(
        lambda: metric(workers, _DANGLING),
        lambda figures: max(figures) > before,
        within=40,
        what="the sweep reports a row without its object",
    )
    named = [line for member in workers for line in _log_of(member) if row["resume_key"] in line]
    run.check(any("resumes_swept" in line for line in named), "the sweep does not name the resume that is gone")


_DANGLING = "resume_dangling_rows"
_REFUSED_DOWNLOADS = "SELECT count(*) FROM audit WHERE lead_id = $1 AND action = 'get_resume' AND result = 404"


def _log_of(member: Member) -> list[str]:
    return member.service.log.read_text(encoding="utf-8", errors="replace").splitlines()
