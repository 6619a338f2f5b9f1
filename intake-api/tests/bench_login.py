"""How long a refused login takes for a known and an unknown account (S40): ``python intake-api/tests/bench_login.py``.

It asks a running stack (``.local/run.json``), by turns, and prints both medians and how far apart they are. The stack
has to be one whose clients may fail as often as this (INTAKE_LOGIN_FAILURES_PER_CLIENT); the known account is made
anew every few tries, because guessing at one is throttled.
"""

import argparse
import json
import secrets
import statistics
import time
from pathlib import Path

import httpx

TRIES_PER_ACCOUNT = 4


def main() -> None:
    """Ask and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run-file", type=Path, default=Path(".local/run.json"))
    parser.add_argument("--tries", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    run = json.loads(options.run_file.read_text())
    seconds: dict[str, list[float]] = {"known": [], "unknown": []}
    with httpx.Client(base_url=run["api_url"], timeout=30) as client:
        admin = {"username": run["admin"]["email"], "password": run["admin"]["password"]}
        token = client.post("/api/v1/auth/token", data=admin).raise_for_status().json()["access_token"]
        for number in range(options.tries):
            if number % TRIES_PER_ACCOUNT == 0:
                name = secrets.token_hex(8)
                known, unknown = f"known.{name}@firm.test", f"other.{name}@firm.test"
                body = {"email": known, "role": "intake", "password": secrets.token_urlsafe(24)}
                client.post("/api/v1/users", json=body, headers={"Authorization": f"Bearer {token}"}).raise_for_status()
            for kind, email in (("known", known), ("unknown", unknown)):
                started = time.perf_counter()
                answer = client.post("/api/v1/auth/token", data={"username": email, "password": "a wrong guess"})
                seconds[kind].append(time.perf_counter() - started)
                if answer.status_code != 401:
                    raise SystemExit(f"expected 401, got {answer.status_code}: {answer.text}")
    medians = {kind: round(statistics.median(times) * 1000, 2) for kind, times in seconds.items()}
    apart = abs(medians["known"] - medians["unknown"]) / medians["known"] * 100
    result = {"tries": options.tries, "median_ms": medians, "apart_percent": round(apart, 2)}
    print(json.dumps(result) if options.json else result)  # noqa: T201 - a command prints


if __name__ == "__main__":
    main()
