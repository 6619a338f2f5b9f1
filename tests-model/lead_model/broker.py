"""A broker without any order: a bag of messages, each of which may be delivered at any time, any number of times."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

from faststream.exceptions import RejectMessage
from faststream.rabbit import RabbitMessage
from service_chassis.hearing import QueueHearer
from shared_schemas.topology import QUEUES

from lead_model.faults import Mortality, ProcessDiedError


@dataclass
class Message:
    """One message in one queue. ``is_acked``: it was handled at least once, and need not come again."""

    queue: str
    id: str
    type: str
    headers: dict[str, str]
    body: bytes
    is_acked: bool = False


class Bag:
    """All messages of all queues, oldest first; none ever leaves, for it may come again."""

    def __init__(self, mortality: Mortality, hearers: dict[str, QueueHearer]) -> None:
        self._mortality = mortality
        self._hearers = hearers
        self.messages: list[Message] = []

    def publish(self, row: Any) -> None:
        """Route an outbox row as the topic exchange does."""
        queues = [queue.name for queue in QUEUES if row.routing_key in queue.routing_keys()]
        assert queues, f"{row.routing_key} is bound to no queue"
        self.messages += [Message(queue, row.event_id, row.type, row.headers, row.body) for queue in queues]

    async def deliver(self, message: Message) -> None:
        """Hand a message to its hearer; it is acked unless the hearer rejects it or dies."""
        raw = SimpleNamespace(
            message_id=message.id,
            type=message.type,
            headers=message.headers,
            body=message.body,
            redelivered=False,
            timestamp=None,
        )
        try:
            await self._hearers[message.queue].hear(cast(RabbitMessage, SimpleNamespace(raw_message=raw)))
            self._mortality.call()
        except (RejectMessage, ProcessDiedError):
            return
        message.is_acked = True

    def waiting(self) -> list[Message]:
        """What has not been handled yet."""
        return [message for message in self.messages if not message.is_acked]
