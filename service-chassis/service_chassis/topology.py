"""Declaring the exchange, the queues and their bindings.

Declaring is idempotent and happens before the first publish or consume and every minute after: a broker
cannot tell that *one of two* bindings is missing (the event is confirmed, the other hearer never gets
it). Arguments that differ from an existing queue are never mended by deleting: the process stops with
one line naming the queue and the difference.
"""

import argparse
import asyncio
import logging
import os
import sys

import aio_pika
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import AMQPError, ChannelPreconditionFailed
from shared_schemas.topology import EXCHANGE, QUEUES

from service_chassis.broker_link import PUBLISHER_CHANNEL, broker_urls, confirmed, connect


class TopologyMismatchError(Exception):
    """The broker has an exchange or queue of ours with other arguments. An operator must decide."""


async def declare(channel: AbstractChannel) -> None:
    """Declare everything on ``channel`` (which a mismatch closes). Raises TopologyMismatchError."""
    subject = f"exchange {EXCHANGE}"
    try:
        exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
        for queue in QUEUES:
            subject = f"queue {queue.retry_name}"
            await channel.declare_queue(queue.retry_name, durable=True, arguments={**queue.retry_arguments()})
            subject = f"queue {queue.name}"
            declared = await channel.declare_queue(queue.name, durable=True, arguments={**queue.arguments()})
            for key in queue.routing_keys():
                await declared.bind(exchange, routing_key=key)
    except ChannelPreconditionFailed as error:
        raise TopologyMismatchError(
            f"RabbitMQ has {subject} with other arguments than this version declares: {error}. "
            "Nothing was changed; drain it and delete it by hand, or run the version that made it."
        ) from error


async def declare_once(amqp_urls: str, seconds: float = 10.0) -> None:
    """Declare everything over a connection of its own, on the first node that answers.

    Raises TopologyMismatchError, or ConnectionError when no node answered.
    """
    last: BaseException | None = None
    for url in broker_urls(amqp_urls):
        try:
            await confirmed(_declare_at(url), seconds)
            return
        except (AMQPError, OSError, TimeoutError) as error:
            last = error
    raise ConnectionError(f"no RabbitMQ node answered ({type(last).__name__})") from last


async def _declare_at(url: str) -> None:
    connection = await connect(url)
    try:
        await declare(await connection.channel(**PUBLISHER_CHANNEL))
    finally:
        await connection.close()


def main() -> int:
    """Command line: ``python -m service_chassis.topology declare``."""
    parser = argparse.ArgumentParser(
        prog="python -m service_chassis.topology",
        description="Declare the exchange, queues and bindings on the broker at AMQP_URL. Safe to run again.",
    )
    parser.add_argument("command", choices=["declare"])
    parser.parse_args()
    urls = os.environ.get("AMQP_URL")
    if not urls:
        print("AMQP_URL is not set: give the broker's address", file=sys.stderr)  # noqa: T201 - a command prints
        return 2
    logging.disable()  # the client library would add its own lines to ours
    try:
        asyncio.run(declare_once(urls))
    except (TopologyMismatchError, ConnectionError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command prints
        return 1
    names = ", ".join(queue.name for queue in QUEUES)
    print(f"declared {EXCHANGE} and {names}, each with its retry queue")  # noqa: T201 - a command prints
    return 0


if __name__ == "__main__":
    sys.exit(main())
