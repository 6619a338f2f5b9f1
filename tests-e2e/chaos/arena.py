"""A whole product with a fault proxy on every hop of every process: started once, used by many scenarios.

Infrastructure, migrations and topology come up as in `make run`; each application process gets addresses of its own,
those of its proxies. A process that dies is started again at once, as an orchestrator would.
"""

import asyncio
import os
import re
import shutil
import signal
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import psutil
from e2e.clients import PHONE, UNSPOKEN
from e2e.eventually import eventually
from e2e.stack import Stack, free_base, swept_within

from chaos.cluster import Cluster
from chaos.fault_proxy import DELIVER, PUBLISH, FaultProxy, Tally, Trap
from chaos.home import HOMES, SETTINGS, QuickNode, Telling, clear_away_dead_arenas
from chaos.members import BROKERS, KIND_OF, HopName, Kind, Member, OwnRoot, enlist
from chaos.scripted_smtp import ScriptedSmtp
from deploy.local import leftovers, private_file, run_file
from deploy.local.child import describe_exit, last_line
from deploy.local.configuration import Configuration, configure
from deploy.local.layout import Home
from deploy.local.postgres import PostgresServer
from deploy.local.rabbitmq import RabbitNode
from deploy.local.seaweedfs import SeaweedServer
from deploy.local.secrets_file import load_or_create
from deploy.local.service import Service
from deploy.local.startup import Startup, check_ports

_LOOK_S = 0.1


class Arena:
    """See the module. Use `running`, which takes everything down again."""

    def __init__(
        self, home: Home, configuration: Configuration, smtp: ScriptedSmtp, cluster: Cluster | None = None
    ) -> None:
        self.home = home
        self._cluster = cluster
        self.smtp = smtp
        self.members: list[Member] = []
        self.published = Tally("c2s", PUBLISH)
        self.delivered = Tally("s2c", DELIVER)
        self.unspoken = Tally("c2s", rf"{UNSPOKEN}|{re.escape(PHONE)}\d".encode())
        """Words in messages that no event may carry."""
        self._configuration = configuration
        self.deaths: list[str] = []
        """Processes that ended although nobody here ended them."""
        self._ended_by_us: set[Service] = set()
        self._held: set[Service] = set()
        self._cancel = threading.Event()
        self._watch: asyncio.Task[None] | None = None
        self._written: object = None

    @classmethod
    @asynccontextmanager
    async def running(cls, say: Callable[[str], None], *, clustered: bool = False) -> AsyncIterator["Arena"]:
        """Bring an arena up, with one broker or a cluster of three, and take it down again."""
        clear_away_dead_arenas()
        home = Home(HOMES / str(os.getpid()))
        shutil.rmtree(home.folder, ignore_errors=True)
        home.create()
        smtp = await ScriptedSmtp().start()
        given = {
            **os.environ,
            **SETTINGS,
            "LEADS_PORT_BASE": str(free_base()),
            "MAILER_SMTP_HOST": "127.0.0.1",
            "MAILER_SMTP_PORT": str(smtp.smtp_port),
        }
        cluster = Cluster(home, load_or_create(home).rabbitmq) if clustered else None
        if cluster:
            given["AMQP_URL"] = cluster.amqp_urls
        configuration = configure(home, given, "test")
        if not cluster:
            node = QuickNode(home, configuration.ports.rabbitmq, configuration.secrets.rabbitmq)
            configuration = replace(configuration, rabbitmq=node)
        arena = cls(home, configuration, smtp, cluster)
        try:
            await arena._start(say)
            yield arena
        finally:
            await arena._stop()
            if not os.environ.get("CHAOS_KEEP_HOME"):
                shutil.rmtree(home.folder, ignore_errors=True)

    @property
    def stack(self) -> Stack:
        """The product as the end-to-end tests know it."""
        return Stack(self.home.run_file, None, swept_within(SETTINGS))

    @property
    def postgres(self) -> PostgresServer:
        assert self._configuration.postgres
        return self._configuration.postgres

    @property
    def rabbitmq(self) -> RabbitNode:
        assert self._configuration.rabbitmq
        return self._configuration.rabbitmq

    @property
    def cluster(self) -> Cluster:
        assert self._cluster, "this arena has one broker"
        return self._cluster

    @property
    def store(self) -> SeaweedServer:
        assert self._configuration.seaweedfs, "this machine has no SeaweedFS"
        return self._configuration.seaweedfs

    def of(self, *kinds: Kind) -> list[Member]:
        """The members of some kinds; of all when none is named."""
        return [member for member in self.members if not kinds or member.kind in kinds]

    def hops(self, hop: HopName, *kinds: Kind) -> list[FaultProxy]:
        """One hop of every member of some kinds."""
        return [member.hops[hop] for member in self.of(*kinds) if hop in member.hops]

    def owner_of(self, proxy: FaultProxy) -> Member:
        """Whose hop this is."""
        return next(member for member in self.members if proxy in member.hops.values())

    def victim_of(self, trap: Trap) -> Member:
        """Whose hop a trap has sprung at."""
        assert trap.at is not None
        return self.owner_of(trap.at)

    def lay(self, trap: Trap, hop: HopName, *kinds: Kind) -> Trap:
        """Lay one trap on a hop of every member of some kinds: it springs at the first of them."""
        for proxy in self.hops(hop, *kinds):
            proxy.set(trap)
        return trap

    def lift(self, trap: Trap) -> None:
        """Take one trap away, wherever it lies."""
        for proxy in [proxy for member in self.members for proxy in member.hops.values()]:
            proxy.lift(trap)

    def heal(self) -> None:
        """Let everything through again."""
        for member in self.members:
            for proxy in member.hops.values():
                proxy.heal()

    async def kill(self, member: Member) -> None:
        """SIGKILL a process; what its hops hold is gone with it."""
        self._ended_by_us.add(member.service)
        pid = member.signal(signal.SIGKILL)
        await eventually(lambda: _is_gone(pid), what=f"{member.name} is dead", every=0.02)
        for proxy in member.hops.values():
            proxy.cut()
            proxy.heal()

    async def kill_service(self, service: Service, number: signal.Signals = signal.SIGKILL) -> None:
        """Crash a part of the infrastructure; it is started again unless it is held down."""
        self._ended_by_us.add(service)
        (pid,) = service.pids()
        os.kill(pid, number)
        await eventually(lambda: _is_gone(pid), what=f"{service.name} is dead", every=0.02)

    async def take_down(self, service: Service) -> None:
        """Stop a service in an orderly way, and keep it down."""
        self._held.add(service)
        await asyncio.to_thread(service.stop)

    async def bring_up(self, service: Service) -> None:
        """Start a service that was taken down, and wait until it answers."""
        await asyncio.to_thread(service.start)
        self._held.discard(service)
        await asyncio.to_thread(service.wait_ready)

    async def all_up(self) -> None:
        """Wait until everything answers: the state that a scenario begins and ends with."""
        await self._up([*self._infrastructure(), *(member.service for member in self.members)])

    async def infrastructure_up(self) -> None:
        """Wait until database, broker and store answer."""
        await self._up(self._infrastructure())

    async def _up(self, services: list[Service]) -> None:
        async def missing() -> list[str]:
            up = await asyncio.gather(*(asyncio.to_thread(_is_up, service) for service in services))
            return [service.name for service, is_up in zip(services, up, strict=True) if not is_up]

        await eventually(missing, lambda names: not names, within=90, what="everything is up")

    async def add(
        self, kind: Kind, count: int, own: OwnRoot | None = None, tallies: Sequence[Tally] = ()
    ) -> list[Member]:
        """Start further members of a kind; with ``own``, of a composition root of the tests'.

        ``tallies`` count at their broker hops from the first byte on.
        """
        added = [await self._enlist(kind, len(self.of(kind)), own, held=True) for _ in range(count)]
        for member in added:
            if tallies:
                member.hops["broker"].tallies += tallies
        await asyncio.gather(*(self.bring_up(member.service) for member in added))
        return added

    async def dismiss(self, member: Member) -> None:
        """Forget a member that has ended."""
        self.members.remove(member)
        self._held.discard(member.service)
        for proxy in member.hops.values():
            await proxy.close()

    def hold(self, service: Service) -> None:
        """Do not start it again when it ends."""
        self._held.add(service)

    def release(self, service: Service) -> None:
        """Start it again when it ends, as usual."""
        self._held.discard(service)

    def _infrastructure(self) -> list[Service]:
        parts = (self._configuration.postgres, self._configuration.rabbitmq, self._configuration.seaweedfs)
        return [part for part in (*parts, *(self._cluster.nodes if self._cluster else ())) if part is not None]

    async def _enlist(self, kind: Kind, index: int, own: OwnRoot | None = None, *, held: bool = False) -> Member:
        member = await enlist(kind, index, self.home, self._configuration, self.smtp.smtp_port, own)
        for hop in set(BROKERS) & set(member.hops):
            member.hops[hop].tallies += [self.published, self.delivered, self.unspoken]
        if held:  # before the watch can see it: it would be started twice
            self._held.add(member.service)
        self.members.append(member)
        return member

    async def _start(self, say: Callable[[str], None]) -> None:
        say(f"starting an arena in {self.home.shown(self.home.folder)}")
        for kind, process in KIND_OF.items():
            for index in range(int(self._configuration.settings[process.count])):
                await self._enlist(kind, index)
        services = [member.service for member in self.members]
        check_ports([*self._infrastructure(), *services])
        if self._cluster:
            await asyncio.to_thread(self._cluster.start)
        self._record()
        startup = Startup(self._configuration, services, Telling(say), self._cancel)
        await asyncio.to_thread(startup.run)
        self._record()
        self._watch = asyncio.create_task(self._keep_alive(), name="keep-alive")
        await self.all_up()

    async def _stop(self) -> None:
        self._cancel.set()
        if self._watch:
            self._watch.cancel()
        self.heal()
        await asyncio.gather(*(asyncio.to_thread(member.service.stop) for member in self.members))
        await asyncio.gather(*(asyncio.to_thread(service.stop) for service in self._infrastructure()))
        if self._cluster:
            await asyncio.to_thread(self._cluster.mapper.stop)
        for proxy in [proxy for member in self.members for proxy in member.hops.values()]:
            await proxy.close()
        await self.smtp.close()
        await asyncio.to_thread(leftovers.stop, self.home)

    async def _keep_alive(self) -> None:
        """Start again whatever has died, and keep the addresses file true."""
        while True:
            for service in [*self._infrastructure(), *(member.service for member in self.members)]:
                if service in self._held or service.exit_status() is None:
                    continue
                if service not in self._ended_by_us:
                    status = describe_exit(service.exit_status() or 0)
                    self.deaths.append(f"{service.name} ended by itself ({status}): {last_line(service.log)}")
                self._ended_by_us.discard(service)
                await asyncio.to_thread(service.bury)
                await asyncio.to_thread(service.start)
            self._record()
            await asyncio.sleep(_LOOK_S)

    def _record(self) -> None:
        """Write run.json: the true addresses, without proxies, and where the scripted server's mail can be read."""
        services = [*self._infrastructure(), *(member.service for member in self.members)]
        pids = run_file.live_pids(services)
        contact = self._cluster.contact if self._cluster else self.rabbitmq
        if (pids, contact) == self._written:
            return
        self._written = (pids, contact)
        content = run_file.content(self._configuration, pids)
        content["mail"] = {
            "smtp_host": "127.0.0.1",
            "smtp_port": self.smtp.smtp_port,
            "web_url": self.smtp.web_url,
            "imap_port": None,
        }
        content["amqp_url"], content["amqp_management_url"] = contact.amqp_url, contact.management_url
        private_file.write_json(self.home.run_file, content)


def _is_up(service: Service) -> bool:
    return service.exit_status() is None and service.is_ready()


async def _is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
