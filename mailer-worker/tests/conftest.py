from collections.abc import AsyncIterator

import pytest
from mailer_worker.settings import MailerSettings
from pydantic import SecretStr
from service_chassis.database import make_engine, make_sessions
from service_chassis.settings import Environment

from deploy.local.testing import MigratedDatabase

from .bench import Bench
from .scripted_relay import ScriptedRelay


@pytest.fixture
async def relay() -> AsyncIterator[ScriptedRelay]:
    relay = ScriptedRelay()
    await relay.start()
    yield relay
    await relay.stop()


@pytest.fixture
def settings(relay: ScriptedRelay) -> MailerSettings:
    return make_settings("postgresql://nobody:x@127.0.0.1:1/none", relay.port)


def make_settings(database_url: str, smtp_port: int) -> MailerSettings:
    return MailerSettings(
        environment=Environment.TEST,
        database_url=SecretStr(database_url),
        amqp_url=SecretStr("amqp://nobody:x@127.0.0.1:1/"),
        smtp_host="127.0.0.1",
        smtp_port=smtp_port,
        smtp_deadline=5.0,
        smtp_lease=20.0,
        from_mailbox="Intake Desk <intake@firm.example>",
        firm_name="Diaz & Ernst",
        suppression_secret=SecretStr("a-secret-of-tests-that-is-long-enough"),
        prospect_page="https://firm.example/my-inquiry",
        link_key=SecretStr("a-key-of-tests-that-is-long-enough"),
        sender_tick=0.2,
        sender_grace=1.0,
        circuit_probe_interval=0.2,
    )


@pytest.fixture
async def bench(migrated_database: MigratedDatabase, relay: ScriptedRelay) -> AsyncIterator[Bench]:
    settings = make_settings(migrated_database("mailer_worker").app_url, relay.port)
    engine = make_engine(settings, "mailer tests")
    bench = Bench(make_sessions(engine), settings)
    yield bench
    await bench.smtp.close()
    await engine.dispose()
