"""The scenarios, by the part that the fault hits. Importing this package registers them."""

from chaos.scenarios import broker, cluster, consumers, intake, mail, outages, relay, windows

__all__ = ["broker", "cluster", "consumers", "intake", "mail", "outages", "relay", "windows"]
