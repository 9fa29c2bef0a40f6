"""A Temporal that is rented: reached over TLS with an API key, as the environment says, and within its quota."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.service import RPCError
from temporalio.worker import Worker

from embedded.ports import HOST
from embedded.stack import Stack
from tests.certificates import NAME, certify, found, needs_openssl
from tests.workflows.gateway import Gateway, gateway
from workflows.client import connect
from workflows.probe import ANSWER, ProbeWorkflow

pytestmark = needs_openssl

KEY = "a key of Temporal Cloud"


@pytest.fixture
async def rented(services: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    """The environment is that of docs/temporal-cloud.md; the authority is named because it is no public one."""
    found(tmp_path, "authority")
    certify(tmp_path, "server", "authority")
    (tmp_path / "none.toml").touch()
    async with gateway(services.addresses.temporal_address, tmp_path, KEY) as passing:
        for name, value in {
            "TEMPORAL_CONFIG_FILE": str(tmp_path / "none.toml"),
            "TEMPORAL_ADDRESS": f"{HOST}:{passing.port}",
            "TEMPORAL_NAMESPACE": "default",
            "TEMPORAL_API_KEY": KEY,
            "TEMPORAL_TLS_SERVER_NAME": NAME,
            "TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(tmp_path / "authority.crt"),
        }.items():
            monkeypatch.setenv(name, value)
        yield passing


@pytest.mark.usefixtures("rented")
async def test_the_key_opens() -> None:
    client = await connect()
    described = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="default"))
    assert described.namespace_info.name == "default"


@pytest.mark.usefixtures("rented")
async def test_another_key_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_API_KEY", "another key")
    with pytest.raises((RuntimeError, RPCError)):
        await connect()


@pytest.mark.usefixtures("rented")
async def test_without_tls_nothing_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_TLS", "false")
    with pytest.raises(RuntimeError):
        await connect()


async def test_calls_beyond_the_quota_are_repeated_by_client_and_worker(rented: Gateway) -> None:
    client, queue = await connect(), uuid.uuid4().hex
    calls = ("StartWorkflowExecution", "UpdateWorkflowExecution", "PollWorkflowTaskQueue", "RespondWorkflowTaskCompleted")
    rented.over_quota.update(calls)
    async with Worker(client, task_queue=queue, workflows=[ProbeWorkflow]):
        handle = await client.start_workflow(ProbeWorkflow.run, id=f"probe-{queue}", task_queue=queue)
        await handle.execute_update(ANSWER)
        await handle.result()
    assert rented.refused == dict.fromkeys(calls, 1)
