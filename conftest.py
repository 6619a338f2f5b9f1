"""Gives every test suite the addresses of real services (see deploy/local/testing.py)."""

import gc

pytest_plugins = ["deploy.local.testing"]


def pytest_collection_finish() -> None:
    """Take what was imported out of the garbage collector's rounds: a tenth of a session's time went there."""
    gc.collect()
    gc.freeze()
