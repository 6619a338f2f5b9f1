"""The embedded stack: the whole system on one machine, without Docker, started and watched by one supervisor."""
