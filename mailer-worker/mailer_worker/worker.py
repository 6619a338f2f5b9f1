"""The mailer's process: wiring only. ``mailer-worker`` runs it.

The relay being away does not make the process unready: mails wait, and say so (``mailer_circuit_open``).
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from functools import partial

from service_chassis import database, jobs, telemetry
from service_chassis.consumer import Consumer
from service_chassis.database import Sessions, make_engine, make_sessions
from service_chassis.hearing import Subscription
from service_chassis.listening import listen
from service_chassis.process import Worker
from service_chassis.prospect_link import LinkTokens
from service_chassis.pulse import Pulse
from service_chassis.relay import Relay
from service_chassis.settings import load, worker_name
from shared_schemas.topology import MAILER_OUTREACH
from sqlalchemy.ext.asyncio import AsyncEngine

from mailer_worker.handlers import make_handlers
from mailer_worker.lead_description import describe_lead
from mailer_worker.mail import MailWriter
from mailer_worker.repository import CHANNEL
from mailer_worker.sender import Sender
from mailer_worker.settings import MailerSettings
from mailer_worker.smtp import SmtpSender
from mailer_worker.use_cases.clear_contact_data import clear_contact_data

SERVICE = "mailer-worker"


def build(settings: MailerSettings) -> Worker:
    """Put the process together. Nothing connects before it runs."""
    name = worker_name(SERVICE)
    database_url = settings.database_url.get_secret_value()
    amqp_url = settings.amqp_url.get_secret_value()
    engine = make_engine(settings, name)
    sessions = make_sessions(engine)
    # The sender has connections of its own: its commit of `sent` must not queue behind messages being handled.
    sender_engine = make_engine(settings, f"{name} sender", pool_size=settings.sender_concurrency + 2)
    sender = Sender(make_sessions(sender_engine), SmtpSender(settings), _make_writer(settings), settings)
    listening = Pulse()
    handlers = make_handlers(settings.suppression_key)
    subscription = Subscription(MAILER_OUTREACH, handlers, after_commit=sender.wake)
    return Worker(
        name=name,
        engine=engine,
        consumer=Consumer(amqp_url, [subscription], sessions, settings, partial(database.ping, engine), SERVICE),
        relay=Relay(database_url, amqp_url, settings, SERVICE),
        ops_host=settings.ops_host,
        ops_port=settings.ops_port,
        stall_limit=settings.stall_limit,
        loops={
            "sender": partial(_run_sender, sender, sender_engine),
            "listener": partial(listen, database_url, CHANNEL, SERVICE, sender.wake, pulse=listening),
        },
        jobs=(
            jobs.forget_old_messages(sessions, settings.housekeeping_interval),
            _clear_contact_data_job(sessions, settings),
        ),
        pulses={"sender": sender.pulse, "listener": listening},
        ready={"sender": sender.check},
        describe_lead=partial(describe_lead, sessions),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: ``mailer-worker``. Everything else is a setting."""
    parser = argparse.ArgumentParser(
        prog=SERVICE,
        description="Mails each prospect once, and says so. Settings come from the environment: MAILER_DATABASE_URL, "
        "AMQP_URL, MAILER_SMTP_HOST, MAILER_FROM and others, printed by `make settings`.",
    )
    parser.parse_args(arguments)
    settings = load(MailerSettings)
    telemetry.configure_logging(SERVICE, settings.log_level)
    sys.exit(build(settings).run())


def _make_writer(settings: MailerSettings) -> MailWriter:
    return MailWriter(
        settings.from_name,
        settings.from_address,
        settings.firm_name,
        settings.prospect_page,
        LinkTokens(settings.link_key),
    )


async def _run_sender(sender: Sender, engine: AsyncEngine, stop: asyncio.Event) -> None:
    try:
        await sender.run(stop)
    finally:
        await engine.dispose()


def _clear_contact_data_job(sessions: Sessions, settings: MailerSettings) -> jobs.Job:
    step = partial(clear_contact_data, retention_days=settings.contact_retention_days)
    work = partial(jobs.in_batches, sessions, step)
    return jobs.Job("clear-contact-data", settings.housekeeping_interval, work)


if __name__ == "__main__":
    main()
