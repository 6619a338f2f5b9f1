"""Figures of the mailer. No label ever names a lead."""

from prometheus_client import Counter, Gauge, Histogram

MAILS = Counter("mailer_mails_total", "Attempts and deliveries by what became of them", ["outcome"])
DUE = Gauge("mailer_deliveries_due", "Deliveries that would be sent now if the relay is there")
WAITING = Gauge("mailer_deliveries_waiting", "Deliveries that are queued or deferred")
CIRCUIT_OPEN = Gauge("mailer_circuit_open", "1 while this process holds the relay to be away")
ATTEMPT_SECONDS = Histogram("mailer_attempt_seconds", "Time of one attempt, connecting included")
COMMIT_WINDOW_SECONDS = Histogram(
    "mailer_commit_window_seconds",
    "Time between the relay's 250 and the commit of `sent`: a crash in it makes a mail ambiguous",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 30),
)
