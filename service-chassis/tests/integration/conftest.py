"""A database and a virtual host for each test, with the product's own topology in it."""

import contextlib
from collections.abc import AsyncIterator
from urllib.parse import quote

import aio_pika
import asyncpg
import pytest
from service_chassis.database import make_engine, make_sessions
from service_chassis.settings import DatabaseGroup
from service_chassis.topology import declare

from deploy.local.service_addresses import BrokerAddresses, DatabaseAddresses, PostgresAddresses
from deploy.local.testing import MigratedDatabase

from .bench import Bench

RETRY_MS = 150
"""How long a rejected message waits here. RabbitMQ takes the lesser of the queue's argument (5 s) and a policy."""

EFFECTS = """
CREATE TABLE effects (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text NOT NULL);
GRANT ALL ON effects TO PUBLIC;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused at commit'; END $$;
CREATE CONSTRAINT TRIGGER refuse_at_commit AFTER INSERT ON effects DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.note = 'refused at commit') EXECUTE FUNCTION refuse();
"""


@pytest.fixture
def database(migrated_database: MigratedDatabase) -> DatabaseAddresses:
    return migrated_database("intake_api")


@pytest.fixture
def quick_vhost(rabbitmq_server: BrokerAddresses, amqp_vhost: str) -> str:
    """A virtual host whose retry queues wait for `RETRY_MS` only."""
    vhost = quote(amqp_vhost.rpartition("/")[2], safe="")
    policy = {"pattern": r"\.retry$", "definition": {"message-ttl": RETRY_MS}, "apply-to": "queues"}
    assert rabbitmq_server.management.call("PUT", f"/api/policies/{vhost}/quick", policy) == 201
    return amqp_vhost


@pytest.fixture
async def bench(
    database: DatabaseAddresses,
    postgres_server: PostgresAddresses,
    quick_vhost: str,
    rabbitmq_server: BrokerAddresses,
) -> AsyncIterator[Bench]:
    """The test's own database and virtual host. A table ``effects`` is what scripted handlers write to."""
    async with contextlib.AsyncExitStack() as stack:
        engine = make_engine(DatabaseGroup(database_url=database.app_url), "test")
        stack.push_async_callback(engine.dispose)
        sql = await stack.enter_async_context(asyncpg.create_pool(database.owner_url, min_size=1, max_size=3))
        await sql.execute(EFFECTS)
        connection = await aio_pika.connect(quick_vhost)
        stack.push_async_callback(connection.close)
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        await declare(channel)
        admin_url = f"{postgres_server.admin_url.rpartition('/')[0]}/{database.app_url.rpartition('/')[2]}"
        yield Bench(database, admin_url, quick_vhost, rabbitmq_server, make_sessions(engine), sql, channel)
