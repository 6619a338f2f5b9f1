"""Faults on purpose: proxies on every hop, a scripted mail server, scenarios with seeds, and a ledger of their runs."""
