"""Declaring is repeatable, mends what is missing, and never touches what differs."""

import subprocess
import sys

import aio_pika
import pytest
from service_chassis.topology import TopologyMismatchError, declare, declare_once
from shared_schemas.topology import ASSIGNMENT_ROSTER, EXCHANGE, QUEUES

from .bench import ROSTER, Bench, changed
from .fault_proxy import proxied


async def test_declaring_again_changes_nothing(bench: Bench) -> None:
    message_id = await bench.publish(changed())
    await declare(bench.channel)
    await declare_once(bench.amqp_url)
    message = await bench.take()
    assert message is not None
    assert message.message_id == message_id


async def test_a_missing_binding_is_put_back(bench: Bench) -> None:
    await (await bench.channel.get_queue(ROSTER)).unbind(EXCHANGE, "attorney.changed")
    exchange = await bench.channel.get_exchange(EXCHANGE)
    with pytest.raises(aio_pika.exceptions.PublishError):
        await exchange.publish(aio_pika.Message(b""), "attorney.changed", mandatory=True)
    await declare_once(bench.amqp_url)
    await exchange.publish(aio_pika.Message(b""), "attorney.changed", mandatory=True)


async def test_every_binding_routes(bench: Bench) -> None:
    exchange = await bench.channel.get_exchange(EXCHANGE)
    for key in {key for queue in QUEUES for key in queue.routing_keys()}:
        await exchange.publish(aio_pika.Message(key.encode()), key, mandatory=True)
    for queue in QUEUES:
        found = await bench.take_all(queue.name, 0)
        assert sorted(message.body.decode() for message in found) == sorted(queue.routing_keys())


@pytest.mark.parametrize("name", [ROSTER, ASSIGNMENT_ROSTER.retry_name])
async def test_other_arguments_are_named_and_nothing_is_deleted(bench: Bench, name: str) -> None:
    await bench.channel.queue_delete(name)
    await bench.channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum", "x-delivery-limit": 5})
    message_id = await bench.publish(changed(), queue=name)
    with pytest.raises(TopologyMismatchError) as caught:
        await declare_once(bench.amqp_url)
    line = str(caught.value)
    assert f"queue {name} " in line
    assert "inequivalent arg" in line
    assert "\n" not in line
    message = await bench.take(name)
    assert message is not None
    assert message.message_id == message_id


async def test_another_kind_of_exchange_is_named(bench: Bench) -> None:
    await bench.channel.exchange_delete(EXCHANGE)
    await bench.channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.FANOUT, durable=True)
    with pytest.raises(TopologyMismatchError, match=f"exchange {EXCHANGE} "):
        await declare_once(bench.amqp_url)


async def test_the_first_node_that_answers_is_used(bench: Bench) -> None:
    async with proxied(bench.amqp_url) as hop:
        hop.refuse()
        await declare_once(f"{hop.url},{bench.amqp_url}")
        with pytest.raises(ConnectionError, match="no RabbitMQ node answered"):
            await declare_once(hop.url)


def test_the_command_line(quick_vhost: str) -> None:
    def run(**environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "service_chassis.topology", "declare"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    done = run(AMQP_URL=quick_vhost)
    assert (done.returncode, done.stderr) == (0, "")
    assert ROSTER in done.stdout
    unset = run()
    assert (unset.returncode, unset.stderr.count("\n")) == (2, 1)
    assert "AMQP_URL" in unset.stderr
    away = run(AMQP_URL="amqp://a:secret-word@127.0.0.1:1/")
    assert (away.returncode, away.stderr) == (1, "no RabbitMQ node answered (AMQPConnectionError)\n")
