"""The scenarios, by the part that the fault hits. Importing this package registers them."""

from chaos.scenarios import (
    broker,
    choosing,
    clocks,
    cluster,
    consumers,
    handlers,
    intake,
    mail,
    nobody,
    order,
    outages,
    relay,
    scale,
    windows,
)

__all__ = [
    "broker",
    "choosing",
    "clocks",
    "cluster",
    "consumers",
    "handlers",
    "intake",
    "mail",
    "nobody",
    "order",
    "outages",
    "relay",
    "scale",
    "windows",
]
