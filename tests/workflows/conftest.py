"""Team workflows on a server that skips time, with the real activities on a real PostgreSQL.

Here the workflows run inside Temporal's sandbox, which the worker process leaves out for speed: what the sandbox forbids
fails here.
"""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import cast

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import (
    Client,
    FetchWorkflowHistoryEventsInput,
    Interceptor,
    OutboundInterceptor,
    WorkflowHistoryEventAsyncIterator,
)
from temporalio.testing import WorkflowEnvironment

from db.core.connection import Database
from db.core.migrate import upgrade
from embedded.plan import Options
from embedded.stack import Stack
from workflows import search_attributes
from workflows.client import data_converter

TEST_SERVER = Path(sys.executable).with_name("temporal-test-server")
ATTRIBUTES = {key.name: IndexedValueType.ValueType(key.indexed_value_type) for key in search_attributes.ALL}


@pytest.fixture(scope="package")
async def services() -> AsyncIterator[Stack]:
    """PostgreSQL with our schema, and Temporal's own server."""
    folder = tempfile.mkdtemp(prefix="groupbuy-")
    try:
        async with Stack(Options(data_dir=Path(folder) / "data", services_only=True)) as stack:
            await asyncio.to_thread(upgrade, stack.addresses.database_url)
            yield stack
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="package")
async def client(services: Stack) -> Client:
    """Of Temporal's own server: the one that skips time does not survive the death of a worker."""
    return await Client.connect(services.addresses.temporal_address, data_converter=data_converter)


@pytest.fixture(scope="package")
async def database(services: Stack) -> AsyncIterator[Database]:
    made = Database(services.addresses.database_url, size=8)
    yield made
    await made.close()


class _Patient(Interceptor):
    """Asks again for a workflow's end: after 20 s the test server answers with nothing, a mistake to `result()`."""

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002 - as the SDK calls it
        return _PatientOutbound(next)


class _PatientOutbound(OutboundInterceptor):
    def fetch_workflow_history_events(self, input: FetchWorkflowHistoryEventsInput) -> WorkflowHistoryEventAsyncIterator:  # noqa: A002
        def poll() -> WorkflowHistoryEventAsyncIterator:
            return self.next.fetch_workflow_history_events(input)

        return cast(WorkflowHistoryEventAsyncIterator, _until_any(poll)) if input.wait_new_event else poll()


async def _until_any(poll: Callable[[], WorkflowHistoryEventAsyncIterator]) -> AsyncIterator[HistoryEvent]:
    is_there = False
    while not is_there:
        async for event in poll():
            is_there = True
            yield event


@pytest.fixture
async def time() -> AsyncIterator[WorkflowEnvironment]:
    """A Temporal test server: `await time.sleep(…)` passes hours at once, for all its workflows; so each test has its own."""
    async with await WorkflowEnvironment.start_time_skipping(
        data_converter=data_converter, interceptors=[_Patient()], test_server_existing_path=str(TEST_SERVER)
    ) as environment:
        await environment.client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace="default", search_attributes=ATTRIBUTES)
        )
        yield environment
