"""The part of a trace that is a request: from its first byte to the end of its answer."""

from fastapi.telemetry import TelemetryConfig
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.access_log import KEY_ID, REQUEST_ID
from tracing import tracer

UNTRACED = {"/healthz", "/readyz", "/metrics", "/version"}
"""which probes ask all the time"""
SERVER_ERROR = 500
NO_TELEMETRY = TelemetryConfig(tracing=False, metrics=False, logs=False)
"""of FastAPI: it would tell of addresses and errors as they are, with the ids of buyers"""
PROPAGATOR = TraceContextTextMapPropagator()


class TracedRequests:
    """Goes on with the trace of a mall that sends `traceparent`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNTRACED:
            await self._app(scope, receive, send)
            return
        method = scope["method"]
        carried = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"] if name[:5] == b"trace"}
        # The message of an exception may hold the values of rows.
        with tracer.start_as_current_span(
            method, PROPAGATOR.extract(carried), SpanKind.SERVER, record_exception=False, set_status_on_exception=False
        ) as span:

            async def send_observed(message: Message) -> None:
                if message["type"] == "http.response.start":
                    status = message["status"]
                    span.set_attribute("http.response.status_code", status)
                    if status >= SERVER_ERROR:
                        span.set_status(StatusCode.ERROR)
                await send(message)

            await self._app(scope, receive, send_observed)
            if span.is_recording():
                route = getattr(scope.get("route"), "path", "")
                span.update_name(f"{method} {route}".rstrip())
                named = {"http.request.method": method, "http.route": route, "groupbuy.key_id": scope.get(KEY_ID)}
                span.set_attributes({name: value for name, value in named.items() if value})
                span.set_attribute("groupbuy.request_id", scope.get(REQUEST_ID, ""))
