"""The application processes of an arena, each behind proxies of its own on every hop."""

import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from chaos.fault_proxy import FaultProxy
from deploy.local.application import KINDS, ApplicationProcess, ProcessKind
from deploy.local.configuration import Configuration
from deploy.local.layout import ROOT, Home

HopName = Literal["database", "broker", "broker-2", "broker-3", "mail", "store"]
"""A cluster's nodes have a hop each."""
BROKERS: tuple[HopName, ...] = ("broker", "broker-2", "broker-3")
Kind = Literal["intake-api", "intake-worker", "assignment-worker", "mailer-worker"]
WORKERS: tuple[Kind, ...] = ("intake-worker", "assignment-worker", "mailer-worker")

KIND_OF: dict[Kind, ProcessKind] = {
    "intake-api": KINDS[0],
    "intake-worker": KINDS[1],
    "assignment-worker": KINDS[2],
    "mailer-worker": KINDS[3],
}
_PREFIX: dict[Kind, str] = {
    "intake-api": "INTAKE",
    "intake-worker": "INTAKE",
    "assignment-worker": "ASSIGNMENT",
    "mailer-worker": "MAILER",
}


@dataclass(frozen=True)
class OwnRoot:
    """A composition root of the tests' own, in place of the product's: a module to run, and settings for it."""

    module: str
    settings: Mapping[str, str] = field(default_factory=dict)


class _OwnProcess(ApplicationProcess):
    """Runs a module of ours where the product's console script would be run."""

    module = ""

    def command(self) -> list[str]:
        return [sys.executable, "-m", self.module]

    def environment(self) -> Mapping[str, str]:
        return {**super().environment(), "PYTHONPATH": str(ROOT / "tests-e2e")}


@dataclass(eq=False)
class Member:
    """One application process and its hops."""

    kind: Kind
    service: ApplicationProcess
    hops: dict[HopName, FaultProxy] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.service.name

    @property
    def pid(self) -> int | None:
        return next(iter(self.service.pids()), None)

    @property
    def ops_url(self) -> str:
        return f"http://127.0.0.1:{self.service.ports()[f'{self.name} ops']}"

    def signal(self, number: signal.Signals) -> int:
        """Signal the process; AssertionError when there is none."""
        pid = self.pid
        assert pid is not None, f"{self.name} does not run"
        os.kill(pid, number)
        return pid


async def enlist(
    kind: Kind, index: int, home: Home, configuration: Configuration, smtp_port: int, own: OwnRoot | None = None
) -> Member:
    """Make a member whose addresses are those of its proxies; nothing of it runs yet but these."""
    settings = {**configuration.settings, **(own.settings if own else {})}
    hops: dict[HopName, FaultProxy] = {}

    async def reroute(setting: str, *names: HopName) -> None:
        routed = []
        for hop, url in zip(names, settings[setting].split(","), strict=False):
            address = urlsplit(url)
            name = f"{kind}-{index + 1} {hop}"
            hops[hop] = await FaultProxy(address.hostname or "", address.port or 0, name).start()
            login = address.netloc.rpartition("@")[0]
            place = f"{login}@127.0.0.1:{hops[hop].port}" if login else f"127.0.0.1:{hops[hop].port}"
            routed.append(urlunsplit(address._replace(netloc=place)))
        settings[setting] = ",".join(routed)

    prefix = _PREFIX[kind]
    await reroute(f"{prefix}_DATABASE_URL", "database")
    if kind != "intake-api":
        settings[f"{prefix}_AMQP_URL"] = settings["AMQP_URL"]
        await reroute(f"{prefix}_AMQP_URL", *BROKERS)
    if kind == "mailer-worker":
        hops["mail"] = await FaultProxy("127.0.0.1", smtp_port, f"{kind}-{index + 1} mail").start()
        settings["MAILER_SMTP_PORT"] = str(hops["mail"].port)
    if prefix == "INTAKE":
        await reroute("RESUMES_S3_ENDPOINT", "store")
    process = _OwnProcess if own else ApplicationProcess
    # A count of two, so that members are told apart by number whatever becomes of their siblings.
    service = process(KIND_OF[kind], index, 2, home, configuration.ports, settings)
    if own and isinstance(service, _OwnProcess):
        service.module = own.module
    return Member(kind, service, hops)
