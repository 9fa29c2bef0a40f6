"""What takes traces, and a mall that notes which trace a callback belongs to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from cli.demo.receiving_mall import ReceivingMall
from embedded.ports import HOST


@dataclass(frozen=True)
class Span:
    service: str
    name: str
    span_id: str
    parent_id: str
    attributes: dict[str, str]
    text: str
    """all of it"""


@dataclass
class Collector:
    """Takes spans over HTTP in OTLP's format."""

    url: str = ""
    traces: dict[str, list[Span]] = field(default_factory=dict)
    """by their id"""

    async def receive(self, request: web.Request) -> web.Response:
        sent = ExportTraceServiceRequest.FromString(await request.read())
        for resource in sent.resource_spans:
            service = {each.key: each.value.string_value for each in resource.resource.attributes}["service.name"]
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                attributes = {each.key: each.value.string_value for each in span.attributes}
                read = Span(service, span.name, span.span_id.hex(), span.parent_span_id.hex(), attributes, str(span))
                self.traces.setdefault(span.trace_id.hex(), []).append(read)
        return web.Response(content_type="application/x-protobuf")


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    collector, application = Collector(), web.Application(client_max_size=2**26)
    application.router.add_post("/v1/traces", collector.receive)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0).start()
        collector.url = f"http://{HOST}:{runner.addresses[0][1]}"
        yield collector
    finally:
        await runner.cleanup()


class TracedMall(ReceivingMall):
    traceparents: dict[str, str]
    """by type of event, of the latest"""

    async def receive(self, request: web.Request) -> web.Response:
        answer = await super().receive(request)
        self.traceparents = {**getattr(self, "traceparents", {}), self.received[-1].type: request.headers["traceparent"]}
        return answer
