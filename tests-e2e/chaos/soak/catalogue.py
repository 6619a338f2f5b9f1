"""Every fault of a soak, by subject, and the order in which a seed brings them."""

import itertools
import random
from collections.abc import Iterator, Mapping

from chaos.soak import (
    broker_faults,
    database_faults,
    mail_faults,
    message_faults,
    network_faults,
    process_faults,
    roster_faults,
    staff_faults,
)
from chaos.soak.fault import Fault, Planner

CATALOGUE: Mapping[str, tuple[Planner, ...]] = {
    "processes": process_faults.PLANNERS,
    "network and object store": network_faults.PLANNERS,
    "broker": broker_faults.PLANNERS,
    "messages": message_faults.PLANNERS,
    "database": database_faults.PLANNERS,
    "mail server": mail_faults.PLANNERS,
    "attorneys": roster_faults.PLANNERS,
    "staff": staff_faults.PLANNERS,
}
_ALL = tuple((subject, planner) for subject, planners in CATALOGUE.items() for planner in planners)


def plans(seed: int) -> Iterator[tuple[str, Fault]]:
    """The faults of a seed with their subjects, in their order: every kind once, shuffled, then again."""
    order = random.Random(seed)
    for number in itertools.count():
        if number % len(_ALL) == 0:
            bag = order.sample(_ALL, len(_ALL))
        subject, planner = bag[number % len(_ALL)]
        yield subject, planner(random.Random(f"{seed}-{number}"))
