"""The runs of workflows, which Temporal keeps for a while after they have ended."""

from collections.abc import Collection
from datetime import timedelta

from temporalio.client import Client, WorkflowExecution
from temporalio.service import RPCError

from api.runtime.admission import AdmissionControl
from domain.schemas.workflows import WorkflowRun

WITHIN = timedelta(seconds=1)
MAX_RUNS = 200


class WorkflowRuns:
    def __init__(self, client: Client, admission: AdmissionControl) -> None:
        self._client = client
        self._admission = admission

    async def of(self, workflow_ids: Collection[str]) -> list[WorkflowRun] | None:
        """Returns the runs of these workflows, a few of very many; None: Temporal does not answer."""
        if self._admission.is_engine_away:
            return None
        ids = ", ".join(f"'{each}'" for each in workflow_ids)
        try:
            found = self._client.list_workflows(f"WorkflowId IN ({ids})", limit=MAX_RUNS, rpc_timeout=WITHIN)
            return [_run(execution) async for execution in found]
        except RPCError:
            return None


def _run(execution: WorkflowExecution) -> WorkflowRun:
    return WorkflowRun(
        id=execution.id,
        status=execution.status.name.lower() if execution.status else "running",
        began_at=execution.start_time,
        ended_at=execution.close_time,
    )
