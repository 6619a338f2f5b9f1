"""The checker's identities, over the model's world: some hold after every step, some when everything has settled."""

from collections import Counter, defaultdict
from hashlib import sha256

from intake_api.use_cases.claim_key import hash_key
from intake_api.use_cases.reconcile import find_stuck
from intake_api.use_cases.sweep_resumes import sweep_resumes

from lead_model.world import SERVICES, World

OPEN = ("registered", "assigned", "outreach_failed", "reached_out")


async def check_always(world: World) -> None:
    """What holds at every moment, whoever has just died. Raises AssertionError."""
    await _submissions(world)
    await _mails(world)
    await _counters(world)
    for service in SERVICES:
        failures = await world.sql(service, "SELECT queue, error_type, error_place FROM failures")
        assert not failures, f"a handler failed: {failures}"
    dead = await world.sql("intake_api", "SELECT queue, error_type, error_place FROM dead_letters")
    assert not dead, f"a message was given up: {dead}"


async def check_settled(world: World) -> None:
    """What holds besides when nothing is left to do. Raises AssertionError."""
    await check_always(world)
    for service in SERVICES:
        assert not await world.sql(service, "SELECT 1 FROM outbox"), f"{service} has not said everything"
    assert not world.bag.waiting()
    await _nothing_stuck(world)
    await _services_agree(world)
    await sweep_resumes(world.sessions["intake_api"], world.store, 0)
    rows = await world.sql("intake_api", "SELECT resume_key FROM submissions")
    assert set(world.store.objects) == {row.resume_key for row in rows}, "I11: orphans after the sweep"


async def _submissions(world: World) -> None:
    """I1 lost, I2 unexpected, I3 duplicated, I10 dangling."""
    rows = await world.sql(
        "intake_api",
        "SELECT s.id, s.lead_id, s.resume_key, s.resume_sha256, k.key_hash FROM submissions s"
        " LEFT JOIN idempotency_keys k ON k.submission_id = s.id",
    )
    by_id = {row.id: row for row in rows}
    hashes = {hash_key(one.key) for one in world.attempted}
    for one in world.attempted:
        if one.answer is not None:
            row = by_id.get(one.answer.submission_id)
            assert row is not None, f"I1: {one.key} was answered 201 and is lost"
            assert row.lead_id == one.answer.lead_id, f"I1: {one.key} was answered with another lead"
    for row in rows:
        assert row.key_hash in hashes, "I2: a submission that nobody attempted"
        content = world.store.objects.get(row.resume_key)
        assert content is not None, "I10: a row whose resume is gone"
        assert sha256(content).hexdigest() == row.resume_sha256, "I10: another resume than the row's"
    doubled = [key for key, count in Counter(row.key_hash for row in rows).items() if count > 1]
    assert not doubled, "I3: a key with two submissions"
    addresses = Counter(
        lead.email_key for lead in await world.leads() if lead.status in OPEN and lead.id not in world.reopened
    )
    assert all(count == 1 for count in addresses.values()), f"I3: open leads of one address: {addresses}"


async def _mails(world: World) -> None:
    """I6 ghost, I7 twice, I8 ambiguous copies that differ."""
    deliveries = await world.sql("mailer_worker", "SELECT * FROM deliveries")
    known = {row.message_id: row for row in deliveries if row.message_id}
    per_lead: defaultdict[object, set[str]] = defaultdict(set)
    for message_id, copies in world.relay.sink.items():
        row = known.get(message_id)
        assert row is not None, "I8: a mail under a Message-ID that no delivery has"
        per_lead[row.lead_id].add(message_id)
        assert len(set(copies)) == 1, "I8: two copies differ"
        assert len(copies) == 1 or row.ambiguous, "I7: mailed twice, and not flagged"
    assert all(len(ids) == 1 for ids in per_lead.values()), "I7: two mails of one lead"
    for row in deliveries:
        assert row.state != "sent" or row.message_id in world.relay.sink, "I6: sent, they say"


async def _counters(world: World) -> None:
    """I9, the part that holds always: counters are exact, one active assignment per lead."""
    wrong = await world.sql(
        "assignment_worker",
        "SELECT a.id, a.open_leads FROM attorneys a WHERE a.open_leads <>"
        " (SELECT count(*) FROM assignments s WHERE s.attorney_id = a.id AND s.active) OR a.open_leads <>"
        " (SELECT count(*) FROM leads l WHERE l.attorney_id = a.id)",
    )
    assert not wrong, f"I9: a load counter that is not the count: {wrong}"


async def _nothing_stuck(world: World) -> None:
    """I5, with the age set to 0; and every mail has ended."""
    async with world.sessions["intake_api"]() as session:
        stuck = await find_stuck(session, 0)
    assert not stuck, f"I5: stuck: {stuck}"
    running = await world.sql(
        "mailer_worker", "SELECT state, reason FROM deliveries WHERE state NOT IN ('sent', 'failed', 'cancelled')"
    )
    assert not running, f"I5: mails without an end: {running}"


async def _services_agree(world: World) -> None:
    """I9: owner and reason are the same everywhere; a lead whose mail went is reached, whatever came last."""
    chosen = {row.lead_id: row for row in await world.sql("assignment_worker", "SELECT * FROM leads")}
    mailed = {row.lead_id: row.state for row in await world.sql("mailer_worker", "SELECT * FROM deliveries")}
    for lead in await world.leads():
        told = chosen.get(lead.id)
        assert told is not None, "I9: a lead that the assignment-worker never heard of"
        assert told.epoch == lead.epoch, "I9: another epoch"
        if lead.status not in OPEN:
            assert told.state == "closed", f"I9: {lead.status} here, {told.state} there"
            continue
        assert told.attorney_id == lead.assigned_to, "I9: another owner"
        assert told.decision == lead.decision, "I9: another decision"
        assert told.waiting_reason == lead.waiting_reason or lead.status != "registered", "I9: another reason"
        if mailed.get(lead.id) == "sent":
            assert lead.status == "reached_out", f"I5: mailed, and {lead.status}"
