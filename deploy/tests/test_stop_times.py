"""One figure for an orderly stop: what a process may need, and what supervisor, Compose and the page give it."""

from __future__ import annotations

import re

import pytest
from assignment_worker.settings import AssignmentSettings
from intake_api.settings import IntakeSettings
from mailer_worker.settings import MailerSettings
from pydantic_settings import BaseSettings
from service_chassis import consumer, process

from deploy.local.application import ApplicationProcess
from deploy.local.layout import ROOT

OPS_PORT_S = 2
PROCESSES = ("intake-api", "intake-worker", "assignment-worker", "mailer-worker")


@pytest.mark.parametrize("settings", [IntakeSettings, AssignmentSettings, MailerSettings])
def test_the_longest_orderly_stop_fits(settings: type[BaseSettings]) -> None:
    fields = settings.model_fields
    handlers = fields["consumer_grace"].default + consumer.STOP_S
    relay = fields["relay_drain_timeout"].default
    assert handlers <= process.LOOP_GRACE_S, "a stage is cut off there"
    assert handlers + process.LOOP_GRACE_S + relay + OPS_PORT_S <= ApplicationProcess.grace


def test_compose_gives_every_process_as_much_as_the_supervisor() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    shared = re.search(r"^x-process:.*?(?=^\S)", text, re.MULTILINE | re.DOTALL)
    assert shared is not None
    assert f"\n  stop_grace_period: {ApplicationProcess.grace:g}s\n" in shared[0]
    for name in PROCESSES:
        block = re.search(rf"^  {name}:.*\n(?:    .*\n|\n)+", text, re.MULTILINE)
        assert block is not None, name
        assert "<<: *process" in block[0], name
        assert "stop_grace_period" not in block[0], name


def test_operators_are_told_the_same() -> None:
    assert f"Give a process {ApplicationProcess.grace:g} s" in (ROOT / "docs/operations.md").read_text(encoding="utf-8")
