"""Who hears what is a promise (docs/design.md, Events): names, bindings, and arguments under which nothing is lost."""

import pytest
from shared_schemas.events import EVENTS
from shared_schemas.topology import DELIVERY_LIMIT, EXCHANGE, QUEUES, RETRY_DELAY_MS, Queue

BINDINGS = {
    "assignment.leads": {"lead.registered", "lead.reassigned", "lead.reopened", "lead.closed", "lead.erased"},
    "assignment.roster": {"attorney.changed"},
    "mailer.outreach": {
        "lead.assigned",
        "outreach.requested",
        "outreach.cancelled",
        "prospect-link.requested",
        "lead.erased",
    },
    "intake.lead-status": {
        "lead.assigned",
        "lead.waiting",
        "lead.reached-out",
        "outreach.deferred",
        "outreach.failed",
        "lead.data-erased",
    },
    "intake.dead-letters": {"message.dead-lettered"},
}


def test_queues_and_bindings_are_those_of_the_design() -> None:
    assert EXCHANGE == "leads.events"
    assert {queue.name: set(queue.routing_keys()) for queue in QUEUES} == BINDINGS
    assert len(QUEUES) == len(BINDINGS)


def test_every_event_has_a_hearer() -> None:
    assert set(EVENTS) == {event for queue in QUEUES for event in queue.events}


@pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue.name)
def test_no_event_is_bound_twice_to_a_queue(queue: Queue) -> None:
    assert len(set(queue.routing_keys())) == len(queue.routing_keys())


def test_no_two_queues_share_a_name() -> None:
    names = [name for queue in QUEUES for name in (queue.name, queue.retry_name)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue.name)
def test_what_is_rejected_waits_in_the_retry_queue_and_comes_back(queue: Queue) -> None:
    there, back = queue.arguments(), queue.retry_arguments()
    assert queue.retry_name == f"{queue.name}.retry"
    assert (there["x-dead-letter-exchange"], there["x-dead-letter-routing-key"]) == ("", queue.retry_name)
    assert (back["x-dead-letter-exchange"], back["x-dead-letter-routing-key"]) == ("", queue.name)
    assert back["x-message-ttl"] == RETRY_DELAY_MS == 5_000
    assert "x-message-ttl" not in there


@pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue.name)
def test_both_queues_are_replicated_and_dead_letter_without_loss(queue: Queue) -> None:
    for arguments in (queue.arguments(), queue.retry_arguments()):
        assert arguments["x-queue-type"] == "quorum"
        assert arguments["x-dead-letter-strategy"] == "at-least-once"
        assert arguments["x-overflow"] == "reject-publish"  # at-least-once dead-lettering needs it


@pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue.name)
def test_the_delivery_limit_is_explicit_and_out_of_reach(queue: Queue) -> None:
    for arguments in (queue.arguments(), queue.retry_arguments()):
        assert arguments["x-delivery-limit"] == DELIVERY_LIMIT == 1_000_000


def test_arguments_are_fresh_each_time() -> None:
    QUEUES[0].arguments()["x-queue-type"] = "classic"
    assert QUEUES[0].arguments()["x-queue-type"] == "quorum"
