"""Finds a RabbitMQ that can run as a private node: the system's, else the one unpacked into the project."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.layout import TOOLS
from deploy.local.rabbitmq_presence import system_erlang, system_server
from deploy.local.rabbitmq_unpack import UnpackError, can_unpack, is_unpacked, unpack

UNPACKED = TOOLS / "rabbitmq"


@dataclass(frozen=True, slots=True)
class RabbitBinaries:
    """The two programs of a node and the folder to put first on its PATH."""

    server: Path
    epmd: Path
    erlang_bin: Path


def find_or_unpack() -> RabbitBinaries:
    """Give the programs, unpacking them where that is possible; raise StackError with the ways to get them."""
    server, erlang = system_server(), system_erlang()
    if server and erlang:
        return _binaries(server, erlang)
    if not is_unpacked(UNPACKED):
        if not can_unpack():
            raise StackError(_how_to_get_it())
        try:
            unpack(UNPACKED)
        except UnpackError as error:
            raise StackError(f"{error}; or give another broker's address in AMQP_URL") from None
    unpacked = next(UNPACKED.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"), None)
    if unpacked is None:
        raise StackError("the unpacked RabbitMQ is incomplete: `make clean` and start again")
    return _binaries(unpacked, UNPACKED / "usr" / "lib" / "erlang")


def _binaries(server: Path, erlang: Path) -> RabbitBinaries:
    epmd = next(iter(sorted(erlang.glob("erts-*/bin/epmd"), reverse=True)), erlang / "bin" / "epmd")
    if not os.access(epmd, os.X_OK):
        raise StackError(f"RabbitMQ's Erlang at {erlang} has no epmd: reinstall it, or set AMQP_URL")
    return RabbitBinaries(server, epmd, erlang / "bin")


def _how_to_get_it() -> str:
    if sys.platform == "darwin":
        return "no RabbitMQ found: run `brew install rabbitmq`, or give a broker's address in AMQP_URL"
    return "no RabbitMQ found and no apt to fetch it with: install rabbitmq-server 3.10 or newer, or set AMQP_URL"
