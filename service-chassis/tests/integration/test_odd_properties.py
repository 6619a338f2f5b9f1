"""A message whose properties are not what AMQP promises is given up, and stops nobody."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from pamqp.commands import Basic

from .bench import ROSTER, Bench, changed
from .fault_proxy import proxied
from .handling import all_acked, handled, note, subscribed
from .waiting import eventually


class NotText(str):
    """What the client library sends as it is, instead of as UTF-8."""

    __slots__ = ()

    def encode(self, *_words: str) -> bytes:
        return b"\xff\xfe" + str.encode(self)


class NoDate(datetime):
    """A moment that AMQP can say and a calendar cannot."""

    def timestamp(self) -> float:
        return 2**63


ODD: tuple[dict[str, Any], ...] = (
    {"message_id": NotText("id")},
    {"message_type": NotText("type")},
    {"app_id": NotText("app"), "correlation_id": NotText("c"), "content_type": NotText("x"), "reply_to": NotText("r")},
    {"headers": {NotText("key"): NotText("value")}},
    {"headers": {"h": [{NotText("key"): {NotText("k"): 1}}], "z": "last", "t": NoDate(2030, 1, 1, tzinfo=UTC)}},
    {"timestamp": NoDate(2030, 1, 1, tzinfo=UTC)},
)


async def test_what_is_not_utf8_or_no_date_is_given_up_and_ends_no_connection(bench: Bench) -> None:
    async with proxied(bench.amqp_url) as hop, bench.consuming(subscribed(note), url=hop.url):
        accepted = hop.accepted
        channel = await bench.channel.get_underlay_channel()
        for number, odd in enumerate(ODD):
            properties = {"message_id": str(uuid4()), "message_type": "no.such.v1", "delivery_mode": 2, **odd}
            await channel.basic_publish(b"%d" % number, routing_key=ROSTER, properties=Basic.Properties(**properties))
        await bench.publish(changed("neighbour"))
        found = await eventually(bench.dead_letters, lambda dead: len(dead) >= len(ODD))
        await handled(bench, "neighbour")
        assert hop.accepted == accepted, "the link was lost"
    dead = {int(letter.body): letter for letter in found}
    assert {letter.error_type for letter in found} == {"Poison:unknown_type"}
    assert (dead[0].message_id, dead[1].message_type) == ("\\xff\\xfeid", "\\xff\\xfetype")
    assert list(dead[3].headers) == ["\\xff\\xfekey"]
    assert dead[4].headers["z"] == "last", "what follows an odd table is read on"
    await all_acked(bench)
