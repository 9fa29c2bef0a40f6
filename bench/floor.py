"""The floor: a bare workflow with no-op updates. `python -m bench.floor worker` and `python -m bench.floor callers`."""

import asyncio
import gc
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import uvloop
from temporalio import workflow
from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.worker import PollerBehaviorAutoscaling, UnsandboxedWorkflowRunner, Worker

from bench.load import READY, Stopwatch, serve
from workers.queues import GRACE, TEAMS_IN_MEMORY, WORKFLOW_THREADS
from workflows.client import connect

QUEUE = "bench-floor"
UPDATES = 6
"""of a team of three: three locks and three payments"""


@workflow.defn
class BareWorkflow:
    def __init__(self) -> None:
        self._updates = 0

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: self._updates == UPDATES)

    @workflow.update
    async def touch(self) -> None:
        self._updates += 1


async def work() -> None:
    """Runs until stdin is closed, with the options of worker/queues.py's trade_worker."""
    client = await connect()
    async with Worker(
        client,
        task_queue=QUEUE,
        workflows=[BareWorkflow],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_cached_workflows=TEAMS_IN_MEMORY,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        max_workflow_task_external_storage_concurrency=1,
        workflow_task_executor=ThreadPoolExecutor(WORKFLOW_THREADS),
        graceful_shutdown_timeout=GRACE,
    ):
        gc.collect()
        gc.freeze()
        print(READY, flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def call() -> None:
    client = await connect()

    async def play(name: str, stopwatch: Stopwatch) -> None:
        await play_bare(client, name, stopwatch)

    await serve({"bare": play})


async def play_bare(client: Client, name: str, stopwatch: Stopwatch) -> str:
    """Plays one workflow with the updates of a team, started as the API starts a team's; returns its id."""
    workflow_id = f"bench-{name}"
    start = WithStartWorkflowOperation(
        BareWorkflow.run,
        id=workflow_id,
        task_queue=QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
    )
    sent_at = time.perf_counter()
    await client.execute_update_with_start_workflow(BareWorkflow.touch, start_workflow_operation=start, id=f"{name}-1")
    stopwatch.record("update with start", sent_at)
    handle: WorkflowHandle[BareWorkflow, None] = client.get_workflow_handle(workflow_id)
    for number in range(2, UPDATES + 1):
        sent_at = time.perf_counter()
        await handle.execute_update(BareWorkflow.touch, id=f"{name}-{number}")
        stopwatch.record("update", sent_at)
    return workflow_id


if __name__ == "__main__":
    uvloop.run({"worker": work, "callers": call}[sys.argv[1]]())
