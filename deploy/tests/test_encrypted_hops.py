"""S53: a peer that cannot prove who it is hears nothing of ours, on any hop.

The peers here are fakes that speak as far as the handshake and keep what they were sent before and after it.
"""

import asyncio
import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from intake_api.resume_store import S3Store
from intake_api.settings import ResumeStorageSettings
from mailer_worker.mail_sender import OutgoingMail, RelayAway
from mailer_worker.settings import MailerSettings
from mailer_worker.smtp import SmtpSender
from service_chassis.broker_link import connect
from service_chassis.consumer import Consumer
from service_chassis.database import engine_at, make_engine, make_sessions
from service_chassis.settings import ConsumerGroup, DatabaseGroup

from .certificates import Authority

PASSWORD = "k7canary3f9d0s8a"
URL_LOGIN = f"leads:{PASSWORD}@localhost"
"""Certificates of good peers name localhost."""

Preamble = Callable[[socket.socket, "Peer"], bool]
"""What a peer says before TLS; whether it goes on to the handshake."""


@dataclass
class Peer:
    """A server with a certificate, or one that takes the offer of TLS out of the conversation."""

    certificate: Path
    preamble: Preamble
    readable: bytes = b""
    """Everything that was sent outside of TLS."""
    encrypted: bytes = b""
    """What was sent inside, decrypted: the handshake has succeeded."""
    port: int = 0
    _listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @contextlib.contextmanager
    def serving(self) -> Iterator["Peer"]:
        """Answer connections, one after the other, until the end of the block."""
        self.port = self._listener.getsockname()[1]
        thread = threading.Thread(target=self._serve, daemon=True)
        thread.start()
        yield self
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        thread.join(5)

    def said(self, link: socket.socket) -> bytes:
        """Take what the client says next."""
        said = link.recv(4096)
        self.readable += said
        return said

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return  # closed: the test is over
            with link, contextlib.suppress(OSError):  # a client that goes away is what most tests want
                link.settimeout(1)
                if self.preamble(link, self):
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                    context.load_cert_chain(self.certificate)
                    with context.wrap_socket(link, server_side=True) as inside:
                        inside.sendall(b"220 relay ESMTP\r\n")  # a relay speaks first; others hear nonsense
                        self.encrypted += inside.recv(4096)


def at_once(_link: socket.socket, _peer: Peer) -> bool:
    return True


def postgres_offers(link: socket.socket, peer: Peer) -> bool:
    peer.said(link)
    link.sendall(b"S")
    return True


def postgres_strips(link: socket.socket, peer: Peer) -> bool:
    peer.said(link)
    link.sendall(b"N")
    return bool(peer.said(link)) and False


def smtp(extensions: str) -> Preamble:
    def speak(link: socket.socket, peer: Peer) -> bool:
        link.sendall(b"220 relay ESMTP\r\n")
        while said := peer.said(link):
            if said.upper().startswith(b"STARTTLS"):
                link.sendall(b"220 go ahead\r\n")
                return True
            link.sendall(f"250-relay\r\n250 {extensions}\r\n".encode())
        return False

    return speak


async def dial_broker(port: int, _authority: Path) -> None:
    await connect(f"amqps://{URL_LOGIN}:{port}/")


async def dial_broker_to_consume(port: int, _authority: Path) -> None:
    async def probe() -> None:
        return

    sessions = make_sessions(engine_at("postgresql://nowhere/x"))
    consumer = Consumer(f"amqps://{URL_LOGIN}:{port}/", [], sessions, ConsumerGroup(), probe, "test")
    broker = consumer._make_broker(next(consumer._urls))
    try:
        async with asyncio.timeout(5):
            await broker.connect()
    finally:
        await broker.stop()


async def dial_database(port: int, authority: Path) -> None:
    url = f"postgresql://{URL_LOGIN}:{port}/x?sslmode=verify-full&sslrootcert={authority}"
    engine = make_engine(DatabaseGroup(database_url=url), "test")
    try:
        async with engine.connect():
            pass
    finally:
        await engine.dispose()


async def dial_relay(port: int, tls: str) -> None:
    settings = MailerSettings(
        environment="test",
        database_url="postgresql://nowhere/x",
        amqp_url="amqp://nowhere",
        smtp_host="localhost",
        smtp_port=port,
        smtp_tls=tls,
        smtp_username="leads",
        smtp_password=PASSWORD,
        smtp_deadline=5,
        suppression_secret="a-secret-of-tests",
        prospect_page="https://firm.example/my-inquiry",
        link_key="a-key-of-tests",
        from_mailbox="intake@firm.example",
    )
    sender = SmtpSender(settings)

    async def go() -> bool:
        return True

    mail = OutgoingMail(sender="intake@firm.example", recipient="jo@example.com", content=b"Subject: x\r\n\r\nx")
    outcome = await sender.send(mail, go)
    await sender.close()
    assert isinstance(outcome, RelayAway)
    raise ConnectionError(outcome.stage)


async def dial_relay_implicitly(port: int, _authority: Path) -> None:
    await dial_relay(port, "implicit")


async def dial_relay_by_starttls(port: int, _authority: Path) -> None:
    await dial_relay(port, "starttls")


async def dial_store(port: int, _authority: Path) -> None:
    settings = ResumeStorageSettings(
        environment="test",
        s3_endpoint=f"https://localhost:{port}",
        s3_access_key="leads",
        s3_secret_key=PASSWORD,
        s3_timeout=2,
    )
    store = S3Store(settings)
    try:
        await store.check()
    finally:
        store.close()


Dial = Callable[[int, Path], Awaitable[None]]
HOPS: dict[str, tuple[Preamble, Dial]] = {
    "broker": (at_once, dial_broker),
    "broker, to consume": (at_once, dial_broker_to_consume),
    "database": (postgres_offers, dial_database),
    "relay": (at_once, dial_relay_implicitly),
    "relay by STARTTLS": (smtp("STARTTLS"), dial_relay_by_starttls),
    "store": (at_once, dial_store),
}


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """An authority that this process trusts."""
    made = Authority(tmp_path / "trusted")
    monkeypatch.setenv("SSL_CERT_FILE", str(made.path))
    return made


async def dialled(hop: str, peer: Peer, authority: Authority) -> Peer:
    """Dial a peer, which never answers to the end: the client gives up, and what it has said is in the peer."""
    with peer.serving():
        try:
            await HOPS[hop][1](peer.port, authority.path)
        except Exception:
            return peer
    raise AssertionError("it took a half conversation for a whole one")


def assert_nothing_was_heard(peer: Peer) -> None:
    assert peer.encrypted == b""
    for told in (PASSWORD.encode(), base64.b64encode(PASSWORD.encode()), b"AUTH", b"MAIL FROM", b"leads"):
        assert told not in peer.readable


# aio-pika's connection, given up half way, is collected with its closing not begun.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("hop", HOPS)
async def test_s53_a_peer_with_a_good_certificate_is_spoken_to(hop: str, authority: Authority) -> None:
    peer = await dialled(hop, Peer(authority.sign("localhost"), HOPS[hop][0]), authority)
    assert peer.encrypted != b""
    assert PASSWORD.encode() not in peer.readable


@pytest.mark.parametrize("certificate", ["of an unknown authority", "of another host", "expired"])
@pytest.mark.parametrize("hop", HOPS)
async def test_s53_a_peer_that_cannot_prove_itself_hears_nothing(
    hop: str, certificate: str, authority: Authority, tmp_path: Path
) -> None:
    path = {
        "of an unknown authority": lambda: Authority(tmp_path / "unknown").sign("localhost"),
        "of another host": lambda: authority.sign("elsewhere.example"),
        "expired": lambda: authority.sign("localhost", datetime.now(UTC) - timedelta(hours=1)),
    }[certificate]()
    assert_nothing_was_heard(await dialled(hop, Peer(path, HOPS[hop][0]), authority))


@pytest.mark.parametrize(
    ("hop", "strip"),
    [("database", postgres_strips), ("relay by STARTTLS", smtp("SIZE 1000"))],
    ids=["database", "relay"],
)
async def test_s53_without_the_offer_of_tls_nothing_is_said(hop: str, strip: Preamble, authority: Authority) -> None:
    assert_nothing_was_heard(await dialled(hop, Peer(authority.sign("localhost"), strip), authority))
