"""The scenarios, by the part that the fault hits. Importing this package registers them."""

from chaos.scenarios import consumers, intake, mail, outages, relay, windows

__all__ = ["consumers", "intake", "mail", "outages", "relay", "windows"]
