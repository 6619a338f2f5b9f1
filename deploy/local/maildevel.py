"""The development mail server: takes every mail, shows it on a web page, keeps it in memory."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.local.layout import Home
from deploy.local.ports import MailPorts
from deploy.local.service import Service
from deploy.local.waiting import accepts_connections

# Every mailbox opens with it; nothing but made-up mail is in there.
PASSWORD = "dev"  # noqa: S105 - the development mail server's, printed on the start screen


class MailServer(Service):
    """mail-devel: SMTP in, IMAP and a web page out, one mailbox for each recipient."""

    grace = 3.0

    def __init__(self, home: Home, ports: MailPorts) -> None:
        super().__init__("mail", "The mail server", home)
        self._ports = ports

    def ports(self) -> Mapping[str, int]:
        """Give all three."""
        return {"mail page": self._ports.web, "SMTP": self._ports.smtp, "IMAP": self._ports.imap}

    @property
    def web_url(self) -> str:
        """Give the inbox page's address."""
        return f"http://127.0.0.1:{self._ports.web}"

    @property
    def smtp_port(self) -> int:
        """Give the port that takes mail."""
        return self._ports.smtp

    @property
    def imap_port(self) -> int:
        """Give the port that gives mail."""
        return self._ports.imap

    def command(self) -> list[str]:
        """Give the command line."""
        return [
            str(Path(sys.executable).with_name("mail_devel")),
            "--host=127.0.0.1",
            "--multi-user",
            f"--password={PASSWORD}",
            f"--smtp-port={self._ports.smtp}",
            f"--imap-port={self._ports.imap}",
            f"--http-port={self._ports.web}",
        ]

    def is_ready(self) -> bool:
        """Tell whether all three ports listen."""
        return all(accepts_connections(port) for port in self.ports().values())
