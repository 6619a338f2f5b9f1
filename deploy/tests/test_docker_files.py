"""What the image's files say fits the rest of the project; needs no Docker."""

from __future__ import annotations

import re

from assignment_worker.settings import AssignmentSettings
from intake_api.settings import IntakeSettings
from mailer_worker.settings import MailerSettings

from deploy.healthcheck import OPS_PORTS
from deploy.local.bootstrap import MEMBERS
from deploy.local.layout import ROOT


def _pins(lock: str) -> set[str]:
    return set(re.findall(r"^[a-z0-9._-]+==[^ \\]+", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE))


def test_the_health_check_knows_the_services_default_ports() -> None:
    assert {
        "INTAKE_API_OPS_PORT": IntakeSettings.model_fields["api_ops_port"].default,
        "INTAKE_WORKER_OPS_PORT": IntakeSettings.model_fields["worker_ops_port"].default,
        "ASSIGNMENT_OPS_PORT": AssignmentSettings.model_fields["ops_port"].default,
        "MAILER_OPS_PORT": MailerSettings.model_fields["ops_port"].default,
    } == OPS_PORTS


def test_images_install_the_versions_that_developers_test() -> None:
    assert _pins("deploy/requirements.runtime.lock") <= _pins("requirements.lock"), "run `make lock`"


def test_a_build_sees_the_members_and_little_else() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    assert let_in == {
        *MEMBERS,
        "requirements.lock",
        "deploy/requirements.runtime.lock",
        "deploy/healthcheck.py",
    }
    assert {"**/tests", "**/*.env", "**/.*"} <= set(rules)
