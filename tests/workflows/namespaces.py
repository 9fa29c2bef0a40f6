"""Namespaces of their own, for tests that run side by side: no worker of another test takes their steps."""

import asyncio
import uuid

from google.protobuf.duration_pb2 import Duration
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from embedded.stack import Stack
from tests.workflows.conftest import ATTRIBUTES
from workflows.client import data_converter


async def new_namespace(services: Stack) -> Client:
    address, name = services.addresses.temporal_address, f"case-{uuid.uuid4().hex}"
    client = await Client.connect(address, namespace=name, data_converter=data_converter)
    new = RegisterNamespaceRequest(namespace=name, workflow_execution_retention_period=Duration(seconds=86_400))
    await client.workflow_service.register_namespace(new)
    attributes = AddSearchAttributesRequest(namespace=name, search_attributes=ATTRIBUTES)
    await client.operator_service.add_search_attributes(attributes)
    await until_known(client)
    return client


async def until_known(client: Client) -> None:
    """Returns when the parts of the server know the new namespace; a worker that starts earlier may end with an error."""
    queue = DescribeTaskQueueRequest(namespace=client.namespace, task_queue=TaskQueue(name="any"))
    async with asyncio.timeout(30):
        while True:
            try:
                await client.workflow_service.describe_task_queue(queue)
                await client.count_workflows()
            except RPCError as exc:
                if exc.status is not RPCStatusCode.NOT_FOUND:
                    raise
                await asyncio.sleep(0.05)
            else:
                return
