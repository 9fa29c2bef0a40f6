"""Sets the current version of the workers, as whoever deploys does."""

import asyncio

from temporalio.api.workflowservice.v1 import SetWorkerDeploymentCurrentVersionRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

NAME = "groupbuy"
WITHIN = 20.0


async def set_current(client: Client, build: str) -> None:
    """Waits until Temporal knows of workers of this version."""
    request = SetWorkerDeploymentCurrentVersionRequest(
        namespace=client.namespace, deployment_name=NAME, build_id=build, identity="tests"
    )
    async with asyncio.timeout(WITHIN):
        while True:
            try:
                await client.workflow_service.set_worker_deployment_current_version(request)
            except RPCError as error:
                if error.status not in {RPCStatusCode.NOT_FOUND, RPCStatusCode.FAILED_PRECONDITION}:
                    raise
            else:
                return
            await asyncio.sleep(0.1)


async def until_it_has_teams(client: Client, build: str) -> None:
    """Waits until a team's last task was done by this version."""
    query = f"WorkflowType = 'TeamWorkflow' AND TemporalWorkerDeploymentVersion = '{NAME}:{build}'"
    async with asyncio.timeout(WITHIN):
        while not (await client.count_workflows(query)).count:  # noqa: ASYNC110 - polls another process
            await asyncio.sleep(0.1)
