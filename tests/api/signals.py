"""A team's workflow as an operator meets it with Temporal's own tools."""

from typing import Any

from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowHandle

from tests.api.polling import until

Handle = WorkflowHandle[Any, Any]


def team_workflow(temporal: Client, team_id: str) -> Handle:
    return temporal.get_workflow_handle(f"team-{team_id}")


async def metadata(workflow: Handle) -> WorkflowMetadata:
    """Definition and current details, as the UI asks for them."""
    found: WorkflowMetadata = await workflow.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    return found


async def details(workflow: Handle) -> str:
    return (await metadata(workflow)).current_details


async def until_details(workflow: Handle, *, say: str) -> str:
    return await until(lambda: details(workflow), lambda seen: say in seen)
