"""Gives every test suite the addresses of real services (see deploy/local/testing.py)."""

pytest_plugins = ["deploy.local.testing"]
