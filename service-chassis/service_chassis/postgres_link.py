"""One PostgreSQL connection that neither side can be made to wait on for ever.

PostgreSQL's own limits free the rows of a client that is frozen or gone. Two holes are closed here:

- Between the driver's Parse and its Sync a session counts as active although it waits for us: neither
  ``idle_in_transaction_session_timeout`` nor ``statement_timeout`` ends it, and its locks stay. From version 17
  on ``transaction_timeout`` does.
- The driver waits without limit in a few places (closing a statement, a listener that hears nothing). So the
  kernel is told to give a silent peer up, as PostgreSQL is told for its side.
"""

import socket
from typing import Any

import asyncpg

TRANSACTION_S = 60.0
"""What one transaction may take, all of it: many times what the longest of ours takes on a busy day."""
FIRST_WITH_TRANSACTION_TIMEOUT = 17

KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_PROBES = 5, 5, 2
UNACKNOWLEDGED_S = 15


class BoundedConnection(asyncpg.Connection):  # type: ignore[misc]  # the driver has no types
    """A connection whose socket notices a silent peer within about 15 s."""

    def __init__(self, protocol: Any, transport: Any, *rest: Any, **named: Any) -> None:
        super().__init__(protocol, transport, *rest, **named)
        notice_silence(transport.get_extra_info("socket"))


def notice_silence(link: socket.socket) -> None:
    """Have the kernel end a TCP connection whose peer says nothing, whether or not something is on its way."""
    if link.family not in (socket.AF_INET, socket.AF_INET6):
        return
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (  # absent where the system lacks them: macOS calls some of them otherwise
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_S),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
        ("TCP_USER_TIMEOUT", UNACKNOWLEDGED_S * 1000),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            link.setsockopt(socket.IPPROTO_TCP, option, value)


async def limit_transactions(connection: asyncpg.Connection, seconds: float = TRANSACTION_S) -> None:
    """Have PostgreSQL end a transaction of this connection that takes longer, where it knows how (17 on)."""
    if connection.get_server_version().major >= FIRST_WITH_TRANSACTION_TIMEOUT:
        await connection.execute(f"SET transaction_timeout = {int(seconds * 1000)}")
