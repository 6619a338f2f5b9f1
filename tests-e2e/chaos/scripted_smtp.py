"""A mail server that does what a script says for each recipient, and records every mail that it took.

What it took can be read as from maildev (`GET /api/email`), so that the end-to-end tests' readers and checker serve
unchanged.
"""

import asyncio
import email.policy
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes
from hashlib import sha256
from typing import Any, Literal

from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

Stage = Literal["connect", "mail", "rcpt", "data", "after_dot"]
STORED = rb"250 stored"


@dataclass(frozen=True)
class Reply:
    """Answer with a code instead of going on; at `after_dot` the mail is not taken."""

    stage: Stage
    code: int
    text: str = "scripted"

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


@dataclass(frozen=True)
class Drop:
    """End the connection without a word. At `after_dot` the mail has been taken."""

    stage: Stage


@dataclass(frozen=True)
class Hang:
    """Say nothing for ``seconds``, then go on as if nothing was. At `after_dot` the mail is taken at the end."""

    stage: Stage
    seconds: float = 3600.0


Step = Reply | Drop | Hang


@dataclass(frozen=True)
class TakenMail:
    """A mail that was taken, in the order of arrival."""

    number: int
    address: str
    message_id: str
    content_hash: str
    content: bytes
    taken_at: float
    """This machine's time, seconds."""


class ScriptedSmtp:
    """The server. One step of a recipient's script is used up for each conversation that names the recipient.

    ``gate`` is the script of what comes before a recipient is named: connect and MAIL.
    """

    def __init__(self) -> None:
        self.mails: list[TakenMail] = []
        self.gate: list[Step] = []
        self.conversations: dict[str, int] = defaultdict(int)
        self.heard_at: dict[str, list[float]] = defaultdict(list)
        """When each conversation named a recipient: seconds of the monotonic clock."""
        self.scripts_used = 0
        """Steps of recipients' scripts that were played."""
        self.on_mail: Callable[[TakenMail], None] | None = None
        self.smtp_port = 0
        self.web_port = 0
        self._scripts: dict[str, list[Step]] = {}
        self._servers: list[asyncio.Server] = []
        self._runner: web.AppRunner | None = None
        self._open: set[asyncio.BaseTransport] = set()
        self._hanging: set[asyncio.Task[Any]] = set()

    async def start(self) -> "ScriptedSmtp":
        """Listen for mail and for readers, on free loopback ports."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Conversation(self), "127.0.0.1", 0)
        self._servers.append(server)
        self.smtp_port = server.sockets[0].getsockname()[1]
        app = web.Application()
        app.add_routes(
            [web.get("/api/email", self._list), web.get("/api/email/{number}/download", self._download)],
        )
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.web_port = self._runner.addresses[0][1]
        return self

    async def close(self) -> None:
        """End every conversation and stop listening."""
        for server in self._servers:
            server.close()
        for transport in list(self._open):
            if isinstance(transport, asyncio.Transport):
                transport.abort()
        if self._runner:
            await self._runner.cleanup()

    @property
    def web_url(self) -> str:
        """Where readers find what was taken."""
        return f"http://127.0.0.1:{self.web_port}"

    def script(self, address: str, *steps: Step) -> None:
        """Do this with the next mails to an address; when the steps are used up its mail is taken."""
        self._scripts[address.lower()] = list(steps)

    def clear(self) -> None:
        """Forget mails, scripts and counts."""
        self.mails.clear()
        self.gate.clear()
        self.conversations.clear()
        self.heard_at.clear()
        self._scripts.clear()
        self.on_mail = None

    def opened(self, transport: asyncio.BaseTransport) -> None:
        self._open.add(transport)

    def closed(self, transport: asyncio.BaseTransport | None) -> None:
        if transport is not None:
            self._open.discard(transport)

    def next_step(self, address: str) -> Step | None:
        self.conversations[address.lower()] += 1
        self.heard_at[address.lower()].append(time.monotonic())
        steps = self._scripts.get(address.lower())
        if not steps:
            return None
        self.scripts_used += 1
        return steps.pop(0)

    def gate_step(self, stage: Stage) -> Step | None:
        if self.gate and self.gate[0].stage == stage:
            return self.gate.pop(0)
        return None

    def take(self, address: str, content: bytes) -> TakenMail:
        parsed = message_from_bytes(content, policy=email.policy.default)
        message_id, content_hash = str(parsed["Message-ID"]), sha256(content).hexdigest()
        mail = TakenMail(len(self.mails), address, message_id, content_hash, content, time.time())
        self.mails.append(mail)
        if self.on_mail:
            self.on_mail(mail)
        return mail

    async def _list(self, _request: web.Request) -> web.Response:
        return web.json_response(
            [
                {"id": mail.number, "envelope": {"to": [{"address": mail.address}]}, "sha256": mail.content_hash}
                for mail in self.mails
            ]
        )

    async def _download(self, request: web.Request) -> web.Response:
        return web.Response(body=self.mails[int(request.match_info["number"])].content, content_type="message/rfc822")


class _Conversation(SMTP):
    """One client's conversation, interrupted where the script says."""

    def __init__(self, server: ScriptedSmtp) -> None:
        super().__init__(self, hostname="scripted.example", enable_SMTPUTF8=True, ident="scripted")
        self._scripted = server
        self._step: Step | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._scripted.opened(transport)
        step = self._scripted.gate_step("connect")
        if step is not None and isinstance(transport, asyncio.Transport):
            if isinstance(step, Reply):
                transport.write(f"{step}\r\n".encode())
                transport.close()
            elif isinstance(step, Drop):
                transport.abort()
            return  # a hang: nobody ever greets
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._scripted.closed(self.transport)
        if self.transport is not None:
            super().connection_lost(error)

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = await self._play(self._scripted.gate_step("mail"), "mail")
        if answer is None:
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return answer or "250 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self._step = self._scripted.next_step(address)
        answer = await self._play(self._step, "rcpt")
        if answer is None:
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(options)
        return answer or "250 OK"

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name
        answer = await self._play(self._step, "data")
        if self.transport is None:
            return
        if answer is not None:
            await self.push(answer)
        else:
            await super().smtp_DATA(arg)

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        step = self._step
        if isinstance(step, Reply) and step.stage == "after_dot":
            return str(step)
        if isinstance(step, Hang) and step.stage == "after_dot":
            await asyncio.sleep(step.seconds)
        mail = self._scripted.take(envelope.rcpt_tos[0], envelope.original_content or b"")
        if isinstance(step, Drop) and step.stage == "after_dot":
            self._abort()
        return f"{STORED.decode()} {mail.number}"

    async def _play(self, step: Step | None, stage: Stage) -> str | None:
        """Do what the script says at this stage; give the answer that replaces the usual one."""
        if step is None or step.stage != stage:
            return None
        if isinstance(step, Reply):
            return str(step)
        if isinstance(step, Drop):
            self._abort()
        else:
            await asyncio.sleep(step.seconds)
        return None

    def _abort(self) -> None:
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()
