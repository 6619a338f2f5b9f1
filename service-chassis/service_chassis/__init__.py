"""The plumbing that every service needs once: broker, outbox and relay, inbox, database, telemetry, health."""
