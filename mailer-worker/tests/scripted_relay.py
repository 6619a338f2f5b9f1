"""A real SMTP server that does to each recipient what a test has written for it."""

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass(frozen=True)
class Step:
    """What happens to one transaction: a reply or an accident, at RCPT, at DATA, or after the final dot."""

    at: str
    reply: str = ""
    accident: str = ""


@dataclass(frozen=True)
class Received:
    recipients: list[str]
    sender: str
    content: bytes


class ScriptedRelay:
    """Accepts whatever no script speaks against. ``hold`` keeps those that hang; ``reached`` says that one does."""

    def __init__(self) -> None:
        self.script: defaultdict[str, deque[Step]] = defaultdict(deque)
        self.received: list[Received] = []
        self.greeting = ""
        self.mail_reply = ""
        self.auth_reply = ""
        self.smtputf8 = True
        self.connections = 0
        self.reached = asyncio.Event()
        self.hold = asyncio.Event()
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()

        def make() -> SMTP:
            self.connections += 1
            return _Session(self, loop)

        self._server = await loop.create_server(make, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self.hold.set()
        if self._server is not None:
            self._server.close()
            self._server = None
        await asyncio.sleep(0)

    def mails_to(self, address: str) -> list[bytes]:
        return [one.content for one in self.received if address in one.recipients]

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [*responses[:-1], "250-AUTH PLAIN", responses[-1]]

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.mail_reply:
            return self.mail_reply
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: "_Session", _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        steps = self.script[address]
        server.step = steps.popleft() if steps else None
        envelope.rcpt_tos.append(address)
        return await self._play(server, "rcpt")

    async def handle_DATA(self, server: "_Session", _session: Session, envelope: Envelope) -> str:  # noqa: N802 - same
        if server.step is not None and server.step.at == "data":
            return server.step.reply
        self.received.append(
            Received(list(envelope.rcpt_tos), envelope.mail_from or "", envelope.original_content or b"")
        )
        return await self._play(server, "dot")

    async def _play(self, server: "_Session", at: str) -> str:
        step = server.step
        if step is None or step.at != at:
            return "250 OK"
        await self.accident(server, step)
        return step.reply or "250 OK"

    async def accident(self, server: "_Session", step: Step) -> None:
        if step.accident == "drop":
            server.abort()
        if step.accident == "hang":
            self.reached.set()
            await self.hold.wait()


class _Session(SMTP):
    def __init__(self, relay: ScriptedRelay, loop: asyncio.AbstractEventLoop) -> None:
        self.relay = relay
        self.step: Step | None = None
        super().__init__(relay, hostname="relay.test", enable_SMTPUTF8=relay.smtputf8, loop=loop)

    async def push(self, status: Any) -> None:
        greeting = str(status).startswith("220 ") and self.relay.greeting
        await super().push(self.relay.greeting if greeting else status)
        if greeting:
            self.abort()

    def abort(self) -> None:
        assert isinstance(self.transport, asyncio.Transport)
        self.transport.close()

    async def smtp_AUTH(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name
        await self.push(self.relay.auth_reply or "235 OK")

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name
        if self.step is not None and self.step.at == "data" and self.step.accident:
            await self.relay.accident(self, self.step)
        await super().smtp_DATA(arg)
