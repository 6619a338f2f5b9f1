"""S54: what the accounts that a process is given may not do, tried on the real servers."""

import re
import secrets
from pathlib import Path
from urllib.parse import quote

import aio_pika
import asyncpg
import pytest
from aio_pika.exceptions import AMQPError
from aiormq.exceptions import ChannelAccessRefused
from service_chassis.topology import declare
from shared_schemas.events import LeadClosed
from shared_schemas.topology import ASSIGNMENT_LEADS, EXCHANGE

from deploy.local.service_addresses import DATABASE_OF, BrokerAddresses, PostgresAddresses, ServiceName
from deploy.local.testing import MigratedDatabase

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"


@pytest.mark.parametrize("service", DATABASE_OF)
async def test_s54_the_application_role_changes_rows_and_no_table(
    service: ServiceName, migrated_database: MigratedDatabase, postgres_server: PostgresAddresses
) -> None:
    application = await asyncpg.connect(migrated_database(service).app_url)
    try:
        for statement in (
            "CREATE TABLE mine (x int)",
            "CREATE SCHEMA mine",
            "ALTER TABLE outbox ADD x int",
            "DROP TABLE outbox",
            "TRUNCATE outbox",
            "COPY outbox TO PROGRAM 'cat'",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await application.execute(statement)
        assert (
            await application.fetchval(
                "SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
            )
            is False
        )
    finally:
        await application.close()
    own = DATABASE_OF[service]
    for other in {*DATABASE_OF.values()} - {own}:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(postgres_server.database(own, other).app_url)


async def test_s54_the_brokers_user_needs_no_more_than_what_is_documented(
    rabbitmq_server: BrokerAddresses, amqp_vhost: str
) -> None:
    documented = re.search(r"set_permissions -p leads leads '(.+)' '(.+)' '(.+)'", OPERATIONS.read_text())
    assert documented
    management, vhost = rabbitmq_server.management, amqp_vhost.rpartition("/")[2]
    user, password = f"u{secrets.token_hex(4)}", secrets.token_urlsafe(24)
    rights = dict(zip(("configure", "write", "read"), documented.groups(), strict=True))
    assert management.call("PUT", f"/api/users/{user}", {"password": password, "tags": ""}) == 201
    try:
        assert management.call("PUT", f"/api/permissions/{quote(vhost, safe='')}/{user}", rights) == 201
        login = re.sub(r"//[^@]+@", f"//{user}:{password}@", amqp_vhost)
        async with await aio_pika.connect(login) as connection:
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            await declare(channel)
            exchange = await channel.get_exchange(EXCHANGE, ensure=False)
            await exchange.publish(aio_pika.Message(b"{}"), LeadClosed.routing_key(), mandatory=True)
            queue = await channel.get_queue(ASSIGNMENT_LEADS.name)
            message = await queue.get(timeout=5)
            await message.reject(requeue=False)
            with pytest.raises(ChannelAccessRefused):
                await (await connection.channel()).declare_queue("mine")
            direct = await (await connection.channel()).get_exchange("amq.direct", ensure=False)
            with pytest.raises(ChannelAccessRefused):
                await direct.publish(aio_pika.Message(b""), "x")
        with pytest.raises(AMQPError):
            await aio_pika.connect(f"{login.rpartition('/')[0]}/")
    finally:
        management.call("DELETE", f"/api/users/{user}")
