"""What a person reads when the stack is ready."""

from __future__ import annotations

from string import Template

from deploy.local import maildevel
from deploy.local.configuration import ADMIN_EMAIL, Configuration
from deploy.local.layout import ROOT
from deploy.local.rabbitmq import USER

_TEMPLATE = ROOT / "deploy" / "local" / "ready.txt"


def ready(configuration: Configuration, seconds: float) -> str:
    """Give the addresses, logins and first calls of a running stack."""
    settings, mail, rabbitmq = configuration.settings, configuration.mail, configuration.rabbitmq
    api = f"http://127.0.0.1:{configuration.ports.api}"
    given = "given by you"
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        seconds=f"{seconds:.1f}",
        api=api,
        inbox=f"{mail.web_url}  (any address, password {maildevel.PASSWORD})" if mail else given,
        rabbitmq=f"{rabbitmq.management_url}  ({USER} / {configuration.secrets.rabbitmq})" if rabbitmq else given,
        admin=f"{ADMIN_EMAIL} / {settings['INTAKE_SEED_ADMIN_PASSWORD']}",
        admin_email=ADMIN_EMAIL,
        admin_password=settings["INTAKE_SEED_ADMIN_PASSWORD"],
        log=configuration.home.shown(configuration.home.log),
    )
