"""The bytes at which a process of a kind is between two steps: where it is killed, or its answer is lost."""

from chaos.fault_proxy import ACK, COMMIT, COMMITTED, DELIVER, MAIL_END, PUBLISH, Side
from chaos.members import HopName, Kind
from chaos.scripted_smtp import STORED

PUT = rb"PUT /"
_RCPT = rb"RCPT TO:"

Mark = tuple[HopName, Side, bytes]
_DATABASE: tuple[Mark, ...] = (("database", "c2s", COMMIT), ("database", "s2c", COMMITTED))
_BROKER: tuple[Mark, ...] = (
    ("broker", "c2s", PUBLISH),
    ("broker", "s2c", ACK),
    ("broker", "c2s", ACK),
    ("broker", "s2c", DELIVER),
)
MARKS: dict[Kind, tuple[Mark, ...]] = {
    "intake-api": (*_DATABASE, ("store", "c2s", PUT)),
    "intake-worker": (*_DATABASE, *_BROKER),
    "assignment-worker": (*_DATABASE, *_BROKER),
    "mailer-worker": (
        *(*_DATABASE, *_BROKER),
        *(("mail", "c2s", _RCPT), ("mail", "c2s", MAIL_END), ("mail", "s2c", STORED)),
    ),
}

REQUESTS: dict[HopName, bytes] = {"database": COMMIT, "broker": PUBLISH, "mail": MAIL_END, "store": PUT}
"""What asks for an answer, on each hop."""
