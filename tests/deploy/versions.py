"""Versions of the workers: sets the current one, as whoever deploys does, and waits for what follows."""

import asyncio

from temporalio.api.deployment.v1 import WorkerDeploymentVersion
from temporalio.api.enums.v1 import VersionDrainageStatus
from temporalio.api.workflowservice.v1 import (
    DescribeWorkerDeploymentVersionRequest,
    SetWorkerDeploymentCurrentVersionRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

NAME = "groupbuy"
WITHIN = 20.0
DRAINED_SOON = {
    "matching.wv.VersionDrainageStatusVisibilityGracePeriod": '"2s"',
    "matching.wv.VersionDrainageStatusRefreshInterval": '"1s"',
}
"""dynamic configuration of a Temporal that does not take its three minutes to see that a version is drained"""
DOES_NOT_REPLAY = """
from datetime import timedelta
from temporalio import workflow
from workflows.team.workflow import TeamWorkflow
import worker

await_first_seat = TeamWorkflow._await_first_seat

async def sleep_first(self):
    await workflow.sleep(timedelta(seconds=1))  # a timer that no history has
    await await_first_seat(self)

TeamWorkflow._await_first_seat = sleep_first
raise SystemExit(worker.main())
"""
"""the program of a worker whose code does not fit the histories of teams"""


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


async def until_drained(client: Client, build: str) -> None:
    """Waits until Temporal says that no workflow needs this version any more, so that its workers can be stopped."""
    version = WorkerDeploymentVersion(deployment_name=NAME, build_id=build)
    request = DescribeWorkerDeploymentVersionRequest(namespace=client.namespace, deployment_version=version)
    async with asyncio.timeout(WITHIN):
        while True:
            answer = await client.workflow_service.describe_worker_deployment_version(request)
            drained = VersionDrainageStatus.VERSION_DRAINAGE_STATUS_DRAINED
            if answer.worker_deployment_version_info.drainage_info.status == drained:
                return
            await asyncio.sleep(0.2)
