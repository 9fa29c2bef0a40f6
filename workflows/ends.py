"""Whether a workflow runs, and how it ended."""

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from temporalio.service import RPCError, RPCStatusCode

from domain.ids import team_workflow_id


async def how_ended(client: Client, workflow_id: str) -> str | None:
    """Returns how the latest run of a workflow ended, empty if Temporal knows none; None while it runs."""
    handle = client.get_workflow_handle(workflow_id)
    try:
        description = await handle.describe()
    except RPCError as exc:
        if exc.status is RPCStatusCode.NOT_FOUND:
            return ""
        raise
    if description.close_time is None:
        return None
    if description.status is WorkflowExecutionStatus.FAILED:
        try:
            await handle.result(follow_runs=False)
        except WorkflowFailureError as exc:
            return f"failed: {exc.cause}"
    return description.status.name.lower() if description.status else "ended"


async def how_team_ended(client: Client, team_id: str) -> str | None:
    """Returns the same of a team's workflow."""
    return await how_ended(client, team_workflow_id(team_id))
