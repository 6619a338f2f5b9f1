"""The assignment-worker process: wiring only. Hears two queues, chooses, relays what it has to say."""

import argparse
import functools
import sys

from service_chassis import database
from service_chassis.consumer import Consumer
from service_chassis.jobs import forget_old_messages
from service_chassis.process import Worker
from service_chassis.relay import Relay
from service_chassis.settings import load, worker_name
from service_chassis.telemetry import configure_logging

from assignment_worker import handlers, repository
from assignment_worker.choosing import Choosing
from assignment_worker.settings import AssignmentSettings

SERVICE = "assignment-worker"


def build(settings: AssignmentSettings) -> Worker:
    """Everything this process runs, from its settings. Nothing connects before ``run``."""
    name = worker_name(SERVICE)
    database_url = settings.database_url.get_secret_value()
    amqp_urls = settings.amqp_url.get_secret_value()
    engine = database.make_engine(settings, name)
    sessions = database.make_sessions(engine)
    choosing = Choosing(database_url, sessions, name, batch=settings.choice_batch, tick=settings.choice_tick)
    subscriptions = handlers.subscriptions(name, choosing.wake)
    probe = functools.partial(database.ping, engine)
    return Worker(
        name=name,
        engine=engine,
        consumer=Consumer(amqp_urls, subscriptions, sessions, settings, probe, SERVICE),
        relay=Relay(database_url, amqp_urls, settings, SERVICE),
        ops_host=settings.ops_host,
        ops_port=settings.ops_port,
        stall_limit=settings.stall_limit,
        loops={"choosing": choosing.run},
        jobs=(forget_old_messages(sessions, settings.housekeeping_interval),),
        pulses=choosing.pulses,
        ready={"choosing": choosing.check},
        describe_lead=functools.partial(repository.describe_lead, sessions),
    )


def main() -> None:
    """Command line: ``assignment-worker``."""
    argparse.ArgumentParser(
        prog=SERVICE,
        description="Picks the least busy attorney for each lead. Configured by ASSIGNMENT_* environment variables; "
        "any number of workers may run. Stops on SIGTERM or SIGINT.",
    ).parse_args()
    settings = load(AssignmentSettings)
    configure_logging(SERVICE, settings.log_level)
    sys.exit(build(settings).run())


if __name__ == "__main__":
    main()
