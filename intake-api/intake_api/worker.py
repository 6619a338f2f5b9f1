"""The message process of intake-api: wiring only. It relays the outbox and hears what others say of leads."""

import argparse
import sys
from typing import Any
from uuid import UUID

from service_chassis.consumer import Consumer
from service_chassis.database import make_engine, make_sessions, ping
from service_chassis.jobs import Job, forget_old_messages
from service_chassis.process import Worker
from service_chassis.relay import Relay
from service_chassis.settings import load, worker_name
from service_chassis.telemetry import configure_logging

from intake_api.erasure_models import Erasure
from intake_api.form import Form
from intake_api.handlers import SUBSCRIPTIONS
from intake_api.models import Lead
from intake_api.resume_store import ResumeStore, make_store
from intake_api.scanner import make_scanner
from intake_api.settings import IntakeSettings, ResumeStorageSettings
from intake_api.use_cases.apply_retention import apply_retention
from intake_api.use_cases.change_attorney import restate_attorneys
from intake_api.use_cases.finish_erasures import finish_erasures
from intake_api.use_cases.forget_dead_letters import forget_dead_letters
from intake_api.use_cases.forget_form_state import forget_form_state
from intake_api.use_cases.forget_keys import forget_keys
from intake_api.use_cases.login_sessions import forget_sessions
from intake_api.use_cases.reconcile import reconcile
from intake_api.use_cases.request_link import answer_wishes, forget_links
from intake_api.use_cases.scan_quarantined import scan_quarantined
from intake_api.use_cases.sweep_resumes import sweep_resumes

SWEEP_DEADLINE_S = 6 * 3600.0
"""A sweep walks the whole store, and one that was broken off begins anew."""


def build(settings: IntakeSettings, store: ResumeStore) -> Worker:
    """Build the process from its settings."""
    engine = make_engine(settings, "intake-worker")
    sessions = make_sessions(engine)
    scanner = make_scanner(settings.scanner_url, settings.scanner_timeout)
    form = Form(settings)
    amqp_url = settings.amqp_url.get_secret_value()

    async def describe_lead(lead_id: UUID) -> dict[str, Any] | None:
        async with sessions() as session:
            lead = await session.get(Lead, lead_id)
            erasure = await session.get(Erasure, lead_id) if lead is None else None
        if erasure is not None:
            return {"lead_id": str(lead_id), "status": "erased", "epoch": erasure.epoch}
        if lead is None:
            return None
        return {
            "lead_id": str(lead.id),
            "status": lead.status,
            "epoch": lead.epoch,
            "decision": lead.decision,
            "assigned_to": str(lead.assigned_to) if lead.assigned_to else None,
            "waiting_reason": lead.waiting_reason,
            "outreach_attempt": lead.outreach_attempt,
            "outreach_final": lead.outreach_final,
        }

    async def restate() -> None:
        await restate_attorneys(sessions)

    async def find_stuck_leads() -> None:
        await reconcile(sessions, settings.stuck_after)

    async def sweep() -> None:
        await sweep_resumes(sessions, store, settings.orphan_grace)

    async def scan() -> None:
        await scan_quarantined(sessions, store, scanner)

    async def see_erasures_through() -> None:
        await finish_erasures(sessions, store)

    async def answer_link_wishes() -> None:
        await answer_wishes(sessions)

    async def retain() -> None:
        await apply_retention(sessions, settings.retention_days, form.hash_recipient)

    async def forget() -> None:
        await forget_keys(sessions, settings.idempotency_lifetime)
        await forget_dead_letters(sessions, settings.dead_letter_days)
        await forget_form_state(sessions, settings)
        await forget_sessions(sessions)
        await forget_links(sessions)

    return Worker(
        name=worker_name("intake-worker"),
        engine=engine,
        consumer=Consumer(amqp_url, SUBSCRIPTIONS, sessions, settings, lambda: ping(engine), "intake-api"),
        relay=Relay(settings.database_url.get_secret_value(), amqp_url, settings, "intake-api"),
        ops_host=settings.ops_host,
        ops_port=settings.worker_ops_port,
        stall_limit=settings.stall_limit,
        jobs=(
            Job("restate-attorneys", settings.roster_interval, restate),
            Job("reconcile", settings.reconcile_interval, find_stuck_leads),
            Job("sweep-resumes", settings.sweep_interval, sweep, deadline=SWEEP_DEADLINE_S),
            Job("scan-quarantined-resumes", settings.scan_interval, scan),
            Job("finish-erasures", settings.erasure_interval, see_erasures_through),
            Job("answer-link-wishes", settings.link_interval, answer_link_wishes),
            Job("retention", settings.retention_interval, retain),
            Job("forget-what-expired", settings.housekeeping_interval, forget),
            forget_old_messages(sessions, settings.housekeeping_interval),
        ),
        describe_lead=describe_lead,
    )


def main() -> None:
    """Command line: ``intake-worker``."""
    argparse.ArgumentParser(
        prog="intake-worker",
        description="Relay intake-api's events and hear the other services. Settings: INTAKE_* (make settings).",
    ).parse_args()
    settings = load(IntakeSettings)
    storage = load(ResumeStorageSettings)
    configure_logging("intake-worker", settings.log_level)
    sys.exit(build(settings, make_store(storage)).run())


if __name__ == "__main__":
    main()
