"""When a process traces, in a process of its own: OpenTelemetry's provider is set once."""

import os
import subprocess
import sys

from embedded.ports import HOST, free_port

BEGIN = """
import sys, time, tracing
sys.modules |= dict.fromkeys(sys.argv[1:])
tracing.begin("test")
with tracing.tracer.start_as_current_span("a span"):
    pass
began = time.monotonic()
tracing.end()
print(tracing.is_on(), time.monotonic() - began < 4)
"""


def run(*missing: str, **environment: str) -> tuple[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    command = [sys.executable, "-c", BEGIN, *missing]
    done = subprocess.run(command, env=kept | environment, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip(), done.stderr


def test_without_an_address_nothing_is_traced_and_nothing_said() -> None:
    assert run() == ("False True", "")


def test_without_the_extra_a_process_runs_untraced_and_says_so() -> None:
    said = run("opentelemetry.sdk.trace", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4318")
    assert said[0] == "False True"
    assert "groupbuy[otel]" in said[1]


def test_a_collector_that_is_away_holds_up_no_end() -> None:
    assert run(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{HOST}:{free_port()}")[0] == "True True"
