"""The state machine: people, services, time and deaths in any order; the invariants after every step."""

import asyncio
import random
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from intake_api.exceptions import IdempotencyKeyInUseError, IllegalMoveError, InvalidFieldsError
from intake_api.lead_status import LeadStatus
from intake_api.use_cases.change_lead import LeadChange

from deploy.local.service_addresses import ServiceName
from lead_model.broker import Message
from lead_model.invariants import check_always, check_settled
from lead_model.ports import Answer
from lead_model.world import SERVICES, Attempted, World

ADDRESSES = ("ada@prospect.example", "bob@prospect.example", "cyd@prospect.example")
RANK = {"registered": 0, "assigned": 1, "outreach_failed": 2, "reached_out": 3, "retained": 4, "declined": 4}
LONGEST_TIME = 20 * 3600
"""Within the life of an idempotency key (24 h), so that a key means one submission."""

deaths = st.one_of(st.none(), st.none(), st.integers(0, 14))
picks = st.integers(0, 99)
answers: st.SearchStrategy[Answer] = st.sampled_from(
    ["taken", "taken, unanswered", "lost in data", "refused", "later", "away"]
)


@dataclass(frozen=True)
class Seen:
    """What one delivery may change: the leads' statuses, and how much each service has to say."""

    statuses: dict[UUID, str]
    unsaid: tuple[int, ...]


class LeadMachine(RuleBasedStateMachine):
    """A firm with two attorneys. A subclass sets ``world`` and the ``runner`` of its event loop."""

    world: World
    runner: "asyncio.Runner"

    def _do(self, step: Awaitable[Any], dies_at: int | None = None) -> Any:
        return self.runner.run(self.world.run(step, dies_at))

    @initialize(seed=st.integers(0, 999))
    def open_the_firm(self, seed: int) -> None:
        self.seed, self.passed = seed, 0.0
        self.world.start_afresh()
        self._do(self.world.empty())
        self._do(self.world.hire(2))
        self.submit(ADDRESSES[0], None)

    # --- people

    @rule(address=st.sampled_from(ADDRESSES), dies_at=deaths)
    def submit(self, address: str, dies_at: int | None) -> None:
        attempted = Attempted(f"key-{len(self.world.attempted)}", address)
        self.world.attempted.append(attempted)
        self._do(self.world.submit(attempted), dies_at)

    @precondition(lambda self: self.world.attempted)
    @rule(pick=picks, dies_at=deaths)
    def retry(self, pick: int, dies_at: int | None) -> None:
        attempted = self.world.attempted[pick % len(self.world.attempted)]
        try:
            self._do(self.world.submit(attempted), dies_at)
        except IdempotencyKeyInUseError:
            assert attempted.answer is None, "a key that was answered is in use"

    @rule(pick=picks, available=st.booleans(), dies_at=deaths)
    def turn_an_attorney_on_or_off(self, pick: int, available: bool, dies_at: int | None) -> None:
        attorney = self.world.attorneys[pick % len(self.world.attorneys)]
        self._do(self.world.set_available(attorney, available), dies_at)

    @rule(pick=picks, to=st.one_of(st.none(), picks), dies_at=deaths)
    def reassign(self, pick: int, to: int | None, dies_at: int | None) -> None:
        owner = None if to is None else self.world.attorneys[to % len(self.world.attorneys)]
        self._change(pick, LeadChange(assigned_to=owner, changes_owner=True), dies_at)

    @rule(pick=picks, by=picks, dies_at=deaths)
    def reach_out_in_person(self, pick: int, by: int, dies_at: int | None) -> None:
        by_whom = self.world.attorneys[by % len(self.world.attorneys)]
        self._change(pick, LeadChange(status=LeadStatus.REACHED_OUT, reached_out_by=by_whom), dies_at)

    @rule(pick=picks, status=st.sampled_from([LeadStatus.DECLINED, LeadStatus.RETAINED]), dies_at=deaths)
    def close(self, pick: int, status: LeadStatus, dies_at: int | None) -> None:
        self._change(pick, LeadChange(status=status), dies_at)

    @rule(pick=picks, dies_at=deaths)
    def reopen(self, pick: int, dies_at: int | None) -> None:
        closed = [lead for lead in self._leads() if lead.status in ("retained", "declined")]
        if not closed:
            return
        lead = closed[pick % len(closed)]
        self.world.reopened.add(lead.id)
        try:
            self._do(self.world.change(lead.id, LeadChange(status=LeadStatus.REGISTERED)), dies_at)
        except IllegalMoveError as error:
            (target,) = error.legal
            self._do(self.world.change(lead.id, LeadChange(status=LeadStatus(target))), dies_at)

    def _change(self, pick: int, change: LeadChange, dies_at: int | None) -> None:
        leads = self._leads()
        if not leads:
            return
        try:
            self._do(self.world.change(leads[pick % len(leads)].id, change), dies_at)
        except (IllegalMoveError, InvalidFieldsError) as error:
            note(f"refused: {type(error).__name__}")

    # --- the system

    @rule(service=st.sampled_from(SERVICES), dies_at=deaths)
    def relay(self, service: ServiceName, dies_at: int | None) -> None:
        self._do(self.world.relay_outbox(service), dies_at)

    @precondition(lambda self: self.world.bag.messages)
    @rule(pick=picks, waiting=st.booleans(), times=st.integers(1, 2), dies_at=deaths)
    def deliver(self, pick: int, waiting: bool, times: int, dies_at: int | None) -> None:
        bag = self.world.bag
        found = (waiting and bag.waiting()) or bag.messages
        for _ in range(times):
            self._deliver(found[pick % len(found)], dies_at)

    @rule(seed=st.integers(0, 99), dies_at=deaths)
    def work(self, seed: int, dies_at: int | None) -> None:
        """A while of ordinary work: half of what is under way arrives, in any order, and something comes again."""
        for service in SERVICES:
            self._do(self.world.relay_outbox(service))
        chance = random.Random(seed)
        waiting = self.world.bag.waiting()
        chance.shuffle(waiting)
        for message in waiting[: (len(waiting) + 1) // 2]:
            self._deliver(message, None)
        self._do(self.world.choose(), dies_at)
        self.world.relay.answer = "taken"
        self._do(self.world.send_one(), dies_at)
        old = self.world.bag.messages
        for message in chance.sample(old, min(2, len(old))):
            self._deliver(message, None)

    def _deliver(self, message: Message, dies_at: int | None) -> None:
        note(f"{message.type} to {message.queue}")
        is_repeat, before = message.is_acked, self._seen()
        self._do(self.world.bag.deliver(message), dies_at)
        after = self._seen()
        if is_repeat:
            assert after == before, f"a repeated {message.type} had an effect"
        if message.type != "lead.waiting.v1":
            for lead_id, status in before.statuses.items():
                assert RANK[after.statuses[lead_id]] >= RANK[status], f"{message.type} lowered a status"

    @rule(dies_at=deaths)
    def choose(self, dies_at: int | None) -> None:
        self._do(self.world.choose(), dies_at)

    @rule(answer=answers, dies_at=deaths)
    def send(self, answer: Answer, dies_at: int | None) -> None:
        self.world.relay.answer = answer
        self._do(self.world.send_one(), dies_at)

    @rule(dies_at=deaths)
    def recover(self, dies_at: int | None) -> None:
        self._do(self.world.recover(), dies_at)

    @rule(seconds=st.sampled_from([40.0, 100.0, 1000.0, 3 * 3600.0]))
    def let_time_pass(self, seconds: float) -> None:
        if self.passed + seconds < LONGEST_TIME:
            self.passed += seconds
            self._do(self.world.let_pass(seconds))

    @rule()
    def settle(self) -> None:
        self._do(self.world.settle(self.seed))
        self._do(check_settled(self.world))

    # --- always

    @invariant()
    def the_invariants_hold(self) -> None:
        if self.world.attorneys:
            self._do(check_always(self.world))

    def teardown(self) -> None:
        if self.world.attorneys:
            self.settle()

    def _leads(self) -> list[Any]:
        leads: list[Any] = self._do(self.world.leads())
        return leads

    def _seen(self) -> Seen:
        unsaid = tuple(
            self._do(self.world.sql(service, "SELECT count(*) AS n FROM outbox"))[0].n for service in SERVICES
        )
        return Seen({lead.id: lead.status for lead in self._leads()}, unsaid)
