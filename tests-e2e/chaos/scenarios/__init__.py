"""The scenarios, by the part that the fault hits. Importing this package registers them in the order of the list."""

from chaos.scenarios import relay, windows

__all__ = ["relay", "windows"]
