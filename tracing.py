"""Traces of API and worker: on where OTEL_EXPORTER_OTLP_ENDPOINT names who takes them and `groupbuy[otel]` is installed.

The parts of a trace are made where the work is, by OpenTelemetry's API, which does nothing while this is off: the request in
`api/http/tracing.py`, activities in `workflows/trace_context.py`, statements here, callbacks in
`activities/callbacks/deliver.py`.
"""

import logging
import os
import time
from collections.abc import Callable
from threading import Thread

from asyncpg.connection import LoggedQuery
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
FLUSH_WITHIN = 2.0
"""seconds that a process waits at its end for the last spans to be taken"""
MAX_STATEMENT = 2000
"""characters"""

log = logging.getLogger("groupbuy.tracing")
tracer = trace.get_tracer("groupbuy")

_end: Callable[[], None] | None = None


def begin(service: str) -> None:
    """Begins to trace this process, if the environment asks for it. `service` is its name, unless OTEL_SERVICE_NAME is set."""
    global _end
    if not any(os.environ.get(name) for name in ENDPOINTS) or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as missing:
        log.warning("nothing is traced: %s is missing, which groupbuy[otel] brings", missing.name)
        return
    os.environ.setdefault("OTEL_SERVICE_NAME", service)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    _end = provider.shutdown


def end() -> None:
    """Sends what is left, within a limit of time."""
    if _end is not None:
        last = Thread(target=_end, daemon=True)  # it has no limit of time that holds while the collector hangs
        last.start()
        last.join(FLUSH_WITHIN)


def is_on() -> bool:
    return _end is not None


def record_statement(statement: LoggedQuery) -> None:
    """Adds a statement that has ended to the trace in which it ran: its text, which has no values, and how it ended."""
    if not trace.get_current_span().is_recording():
        return
    ended = time.time_ns()
    text = statement.query.strip()
    span = tracer.start_span(
        text.split(None, 1)[0].upper()[:20] if text else "SQL",
        kind=SpanKind.CLIENT,
        start_time=ended - round(statement.elapsed * 1e9),
        attributes={"db.system.name": "postgresql", "db.query.text": text[:MAX_STATEMENT]},
    )
    if statement.exception is not None:
        span.set_status(StatusCode.ERROR, type(statement.exception).__name__)
    span.end(ended)
