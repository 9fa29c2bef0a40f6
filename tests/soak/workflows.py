"""The workflows at the end of a run, and what those of the teams believe."""

import asyncio

from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus, WorkflowFailureError, WorkflowQueryFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from domain.ids import team_workflow_id
from tests.api.shop import Json
from tests.soak.rows import Workflow

AT_ONCE = 16
TYPES = ("TeamWorkflow", "RefundWorkflow", "PaymentWorkflow", "CampaignShutdownWorkflow", "RedeliveryWorkflow")


async def read_workflows(temporal: Client, team_ids: list[str]) -> tuple[Workflow, ...]:
    """The last run under each workflow id; those of these teams with their views."""
    teams = {team_workflow_id(team_id) for team_id in team_ids}
    latest: dict[str, WorkflowExecution] = {}
    async for execution in temporal.list_workflows(" OR ".join(f"WorkflowType = '{kind}'" for kind in TYPES)):
        known = latest.get(execution.id)
        if known is None or known.start_time < execution.start_time:
            latest[execution.id] = execution
    slots = asyncio.Semaphore(AT_ONCE)

    async def read(execution: WorkflowExecution) -> Workflow:
        async with slots:
            return await _read(temporal, execution, with_view=execution.id in teams)

    return tuple(await asyncio.gather(*(read(execution) for execution in latest.values())))


async def _read(temporal: Client, execution: WorkflowExecution, *, with_view: bool) -> Workflow:
    handle = temporal.get_workflow_handle(execution.id, run_id=execution.run_id)
    view: Json | None = None
    failure = None
    if with_view:
        try:
            view = await handle.query("view")
        except (RPCError, WorkflowQueryFailedError):
            view = None
    if execution.status is WorkflowExecutionStatus.FAILED:
        try:
            await handle.result()
        except WorkflowFailureError as exc:
            failure = exc.cause.type if isinstance(exc.cause, ApplicationError) else type(exc.cause).__name__
    return Workflow(
        workflow_id=execution.id,
        status=execution.status.name if execution.status else "",
        closed_at=execution.close_time.timestamp() if execution.close_time else None,
        failure=failure,
        view_status=view["status"] if view else None,
        view_version=view["version"] if view else None,
        view_seats={number: seat["status"] for number, seat in view["seats"].items() if seat["live"]} if view else None,
    )
