"""RabbitMQ as a private node: own folder, own ports, own Erlang port mapper, all on loopback."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Mapping

from deploy.local.layout import Home
from deploy.local.port_mapper import PortMapper
from deploy.local.ports import RabbitPorts
from deploy.local.rabbitmq_binaries import find_or_unpack
from deploy.local.rabbitmq_management import Management
from deploy.local.service import Service
from deploy.local.waiting import accepts_connections

USER = "leads"
_PLUGINS = "[rabbitmq_management,rabbitmq_prometheus]."


class RabbitNode(Service):
    """One node with the management and prometheus plugins.

    `RUNNING_UNDER_SYSTEMD` makes RabbitMQ's script become the Erlang machine instead of waiting beside it, so that
    the child's pid is the broker's. The port mapper is started first and belongs to us, because the one that Erlang
    starts by itself outlives every broker; nodes of a cluster share one.
    """

    grace = 20.0
    ready_within = 60.0

    def __init__(
        self,
        home: Home,
        ports: RabbitPorts,
        password: str,
        *,
        name: str = "rabbitmq",
        node: str = "leads@localhost",
        shared_mapper: PortMapper | None = None,
    ) -> None:
        super().__init__(name, "RabbitMQ", home)
        self.node = node
        self._ports = ports
        self._password = password
        self._folder = home.data / name
        self._mapper = shared_mapper or PortMapper(home, ports.epmd)
        self._owns_mapper = shared_mapper is None

    def ports(self) -> Mapping[str, int]:
        """Give all five."""
        return {
            "RabbitMQ": self._ports.amqp,
            "RabbitMQ management": self._ports.management,
            "Erlang's port mapper": self._ports.epmd,
            "Erlang distribution": self._ports.distribution,
            "RabbitMQ prometheus": self._ports.prometheus,
        }

    @property
    def amqp_url(self) -> str:
        """Give the broker's address, default virtual host."""
        return f"amqp://{USER}:{self._password}@127.0.0.1:{self._ports.amqp}/"

    @property
    def management_url(self) -> str:
        """Give the management page's address, without credentials."""
        return f"http://127.0.0.1:{self._ports.management}"

    def prepare(self) -> None:
        """Write the node's configuration."""
        for name in ("home", "mnesia"):
            (self._folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = [
            f"listeners.tcp.1 = 127.0.0.1:{self._ports.amqp}",
            "management.tcp.ip = 127.0.0.1",
            f"management.tcp.port = {self._ports.management}",
            "prometheus.tcp.ip = 127.0.0.1",
            f"prometheus.tcp.port = {self._ports.prometheus}",
            f"default_user = {USER}",
            f"default_pass = {self._password}",
            "log.file.level = info",
        ]
        lines += self.more_configuration()
        config = self._folder / "rabbitmq.conf"
        config.touch(mode=0o600)
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        (self._folder / "enabled_plugins").write_text(_PLUGINS + "\n", encoding="utf-8")
        (self._folder / "env.conf").write_text("", encoding="utf-8")

    def more_configuration(self) -> list[str]:
        """Give further lines of the node's configuration."""
        return []

    def command(self) -> list[str]:
        """Give the script without arguments: everything is in its environment."""
        return [str(find_or_unpack().server)]

    def environment(self) -> Mapping[str, str]:
        """Give the node's variables."""
        folder = self._folder
        return {
            "HOME": str(folder / "home"),  # the Erlang cookie
            "PATH": f"{find_or_unpack().erlang_bin}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "RUNNING_UNDER_SYSTEMD": "true",
            "ERL_EPMD_PORT": str(self._ports.epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_DIST_PORT": str(self._ports.distribution),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._ports.amqp),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.home.log),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "env.conf"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    def start(self) -> None:
        """Start the port mapper if it is not there, then the broker."""
        self.home.create()
        self._mapper.start()
        super().start()

    def is_ready(self) -> bool:
        """Ask the management plugin, which starts last, and the AMQP port."""
        return accepts_connections(self._ports.amqp) and self.management.answers()

    @property
    def management(self) -> Management:
        """Give the management API, called as the node's user."""
        return Management(self.management_url, USER, self._password)

    def stop(self) -> None:
        """Stop the broker, then its port mapper."""
        if self.exit_status() is None:
            self._detach_statistics()
        super().stop()
        if self._owns_mapper:
            self._mapper.stop()

    def kill(self) -> None:
        """Kill the broker as a crash would; its port mapper goes too."""
        super().kill()
        if self._owns_mapper:
            self._mapper.stop()

    def _detach_statistics(self) -> None:
        """Take the management plugin's statistics off the broker before it stops: 1.2 s instead of 6.

        On its way down the plugin's handler waits 5 s for a process that waits for it; taken off while everything
        still runs it goes at once. Where this fails, for whatever reason, the stop only takes its 6 s.
        """
        erlang = [
            str(find_or_unpack().erlang_bin / "erl"),
            "-noinput",
            "-hidden",
            "-sname",
            f"stop{os.getpid()}@localhost",
        ]
        interface = ["-kernel", "inet_dist_use_interface", "{127,0,0,1}"]
        handler = "[rabbit_event, rabbit_mgmt_db_handler, []]"
        call = f"rpc:call('{self.node}', gen_event, delete_handler, {handler}, 3000), halt()."
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                [*erlang, *interface, "-eval", call],
                env={**os.environ, **self.environment()},
                capture_output=True,
                timeout=5,
                check=False,
            )
