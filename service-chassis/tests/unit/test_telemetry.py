"""Nothing a visitor typed reaches a log line, and one trace follows a lead."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from service_chassis.telemetry import current_trace_id, log_fields, new_trace_id, trace_id_of, traced, traceparent_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

TALKATIVE = Path(__file__).parent / "talkative.py"


def test_no_log_line_quotes_an_error_however_it_is_logged() -> None:
    ended = subprocess.run(  # noqa: S603 - our own interpreter and script
        [sys.executable, "-W", "ignore", str(TALKATIVE)], capture_output=True, text=True, timeout=30, check=False
    )
    said = ended.stdout + ended.stderr
    assert "CANARY" not in said
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    by_event = {line["event"]: line for line in lines}
    ways = ("structlog", "structlog_info", "stdlib", "stdlib_info", "async_never_retrieved", "callback", "uncaught")
    for way, event in zip(
        ways,
        (
            "structlog",
            "structlog_info",
            "stdlib",
            "stdlib_info",
            "Task exception was never retrieved",
            "Exception in callback",
            "uncaught",
        ),
        strict=True,
    ):
        line = next((line for name, line in by_event.items() if name.startswith(event)), None)
        assert line is not None, f"{way}: {sorted(by_event)}"
        assert line["error_type"] == "ValueError", way
        assert line["error_place"].startswith("__main__:"), way
        assert line["service"] == "talkative", way
        assert line["level"] == "error", way
    assert ended.returncode == 1


def test_log_fields_are_type_and_place() -> None:
    fields = log_fields(ValueError("CANARY"))
    assert fields == {"error_type": "ValueError", "error_place": "unknown"}


@pytest.mark.parametrize(
    ("traceparent", "trace_id"),
    [
        (f"00-{TRACE}-00f067aa0ba902b7-01", TRACE),
        (f"00-{TRACE}-00f067aa0ba902b7-00", TRACE),
        (None, None),
        ("", None),
        ("garbage", None),
        (f"00-{TRACE}-00f067aa0ba902b7", None),
        (f"00-{TRACE}-00f067aa0ba902b7-01-x", None),
        (f"00-{TRACE[:-1]}-00f067aa0ba902b7-01", None),
        (f"00-{TRACE.upper()}-00f067aa0ba902b7-01", None),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (f"00-{'g' * 32}-00f067aa0ba902b7-01", None),
    ],
)
def test_reading_a_traceparent(traceparent: str | None, trace_id: str | None) -> None:
    assert trace_id_of(traceparent) == trace_id


def test_a_written_traceparent_reads_back_with_a_span_of_its_own() -> None:
    trace = new_trace_id()
    one, other = traceparent_of(trace), traceparent_of(trace)
    assert trace_id_of(one) == trace_id_of(other) == trace
    assert one != other


def test_work_for_a_trace_carries_it_and_ends_with_it() -> None:
    with traced(TRACE) as outer:
        assert outer == current_trace_id() == TRACE
        with traced(None) as inner:
            assert inner == current_trace_id() != TRACE
        assert current_trace_id() == TRACE
    assert current_trace_id() != TRACE
    assert len(current_trace_id()) == 32
