"""Carries the trace of a request through Temporal: from the client's call over the workflow to the activities that it leads to.

Workflows make no spans, which a replay would make again: they pass on what the start, the update or the signal brought. So an
activity is part of the trace of the request that asked for it, and what the deadline brings about is part of the opener's.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from temporalio import activity, client, worker
from temporalio.api.common.v1 import Payload

Headers = Mapping[str, Payload]

HEADER = "traceparent"
PROPAGATOR = TraceContextTextMapPropagator()

tracer = trace.get_tracer("groupbuy")
carried: ContextVar[Payload | None] = ContextVar("carried", default=None)
"""in a workflow: what the call brought that is being handled"""


class TraceContext(client.Interceptor, worker.Interceptor):
    def intercept_client(self, next: client.OutboundInterceptor) -> client.OutboundInterceptor:  # noqa: A002 - the SDK's name
        return _Calls(next)

    def intercept_activity(self, next: worker.ActivityInboundInterceptor) -> worker.ActivityInboundInterceptor:  # noqa: A002
        return _Activities(next)

    def workflow_interceptor_class(self, _: worker.WorkflowInterceptorClassInput) -> type[worker.WorkflowInboundInterceptor]:
        return _Handlers


@contextmanager
def span(name: str, parent: Context | None, kind: SpanKind, **attributes: str) -> Iterator[None]:
    """A span that says of an exception its type alone: the message may hold the values of rows."""
    given = {key: value for key, value in attributes.items() if value}
    with tracer.start_as_current_span(
        name, parent, kind, given, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except BaseException as error:
            current.set_status(StatusCode.ERROR, type(error).__name__)
            raise


def _current() -> dict[str, Payload]:
    """Returns the header for the trace that is under way."""
    brought: dict[str, str] = {}
    PROPAGATOR.inject(brought)
    return {HEADER: Payload(metadata={"encoding": b"binary/plain"}, data=brought[HEADER].encode())} if brought else {}


class _Calls(client.OutboundInterceptor):
    """Calls that are part of no trace begin none."""

    async def start_workflow(self, input: client.StartWorkflowInput) -> client.WorkflowHandle[Any, Any]:  # noqa: A002
        with self._call(f"start {input.workflow}", input.id):
            input.headers = {**input.headers, **_current()}
            return await super().start_workflow(input)

    async def signal_workflow(self, input: client.SignalWorkflowInput) -> None:  # noqa: A002
        with self._call(f"signal {input.signal}", input.id):
            input.headers = {**input.headers, **_current()}
            await super().signal_workflow(input)

    async def start_workflow_update(self, input: client.StartWorkflowUpdateInput) -> client.WorkflowUpdateHandle[Any]:  # noqa: A002
        with self._call(f"update {input.update}", input.id):
            input.headers = {**input.headers, **_current()}
            return await super().start_workflow_update(input)

    async def start_update_with_start_workflow(
        self,
        input: client.StartWorkflowUpdateWithStartInput,  # noqa: A002
    ) -> client.WorkflowUpdateHandle[Any]:
        start, update = input.start_workflow_input, input.update_workflow_input
        with self._call(f"update {update.update}", start.id):
            start.headers, update.headers = {**start.headers, **_current()}, {**update.headers, **_current()}
            return await super().start_update_with_start_workflow(input)

    @contextmanager
    def _call(self, name: str, workflow_id: str) -> Iterator[None]:
        if trace.get_current_span().get_span_context().is_valid:
            with span(name, None, SpanKind.CLIENT, temporal_workflow_id=workflow_id):
                yield
        else:
            yield


class _Handlers(worker.WorkflowInboundInterceptor):
    """Each handler runs in a task of its own, and so does the workflow itself."""

    def init(self, outbound: worker.WorkflowOutboundInterceptor) -> None:
        super().init(_Commands(outbound))

    async def execute_workflow(self, input: worker.ExecuteWorkflowInput) -> Any:  # noqa: A002, ANN401
        carried.set(input.headers.get(HEADER))
        return await super().execute_workflow(input)

    async def handle_signal(self, input: worker.HandleSignalInput) -> None:  # noqa: A002
        carried.set(input.headers.get(HEADER))
        await super().handle_signal(input)

    async def handle_update_handler(self, input: worker.HandleUpdateInput) -> Any:  # noqa: A002, ANN401
        carried.set(input.headers.get(HEADER))
        return await super().handle_update_handler(input)


class _Commands(worker.WorkflowOutboundInterceptor):
    def start_activity(self, input: worker.StartActivityInput) -> Any:  # noqa: A002, ANN401
        input.headers = _with_carried(input.headers)
        return super().start_activity(input)

    def start_local_activity(self, input: worker.StartLocalActivityInput) -> Any:  # noqa: A002, ANN401
        input.headers = _with_carried(input.headers)
        return super().start_local_activity(input)

    async def signal_external_workflow(self, input: worker.SignalExternalWorkflowInput) -> None:  # noqa: A002
        input.headers = _with_carried(input.headers)
        await super().signal_external_workflow(input)

    def continue_as_new(self, input: worker.ContinueAsNewInput) -> NoReturn:  # noqa: A002
        input.headers = _with_carried(input.headers)
        super().continue_as_new(input)


def _with_carried(headers: Headers) -> Headers:
    brought = carried.get()
    return headers if brought is None else {**headers, HEADER: brought}


class _Activities(worker.ActivityInboundInterceptor):
    async def execute_activity(self, input: worker.ExecuteActivityInput) -> Any:  # noqa: A002, ANN401
        brought = input.headers.get(HEADER)
        if brought is None:
            return await super().execute_activity(input)
        parent = PROPAGATOR.extract({HEADER: brought.data.decode()})
        info = activity.info()
        attributes = {"temporal_workflow_id": info.workflow_id or "", "attempt": str(info.attempt)}
        with span(info.activity_type, parent, SpanKind.CONSUMER, **attributes):
            return await super().execute_activity(input)
