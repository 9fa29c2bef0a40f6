"""The floor: the engine alone, without HTTP and database. `python -m bench.floor worker` and `python -m bench.floor callers`.

Bare workflows with no-op updates, and shapes: what the workflow of a whole life has in its history, with nothing in it.
"""

import asyncio
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import uvloop
from temporalio import activity, workflow
from temporalio.client import Client, WithStartWorkflowOperation
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.worker import PollerBehaviorAutoscaling, UnsandboxedWorkflowRunner, Worker

from bench.load import READY, Stopwatch, serve
from garbage import tune_collector
from workers.queues import GRACE, TEAMS_IN_MEMORY, WORKFLOW_THREADS
from workflows.client import connect

QUEUE = "bench-floor"
NO_OP_WITHIN = timedelta(seconds=5)
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


@dataclass
class Shape:
    """One start; updates with a local activity each; a timer, local activities after it, one regular activity, an end."""

    updates: int
    seconds: float
    steps: int


TEAM, LAPSE = Shape(updates=UPDATES, seconds=1, steps=0), Shape(updates=1, seconds=1, steps=1)
"""a team of three with its refund window; a seat with its window, after which it is released"""


@activity.defn
async def no_op() -> None:
    """What a transaction or a delivery would do."""


@workflow.defn
class ShapeWorkflow:
    def __init__(self) -> None:
        self._updates = 0

    @workflow.run
    async def run(self, shape: Shape) -> None:
        await workflow.wait_condition(lambda: self._updates == shape.updates)
        await workflow.sleep(shape.seconds)
        for _ in range(shape.steps):
            await workflow.execute_local_activity(no_op, start_to_close_timeout=NO_OP_WITHIN)
        await workflow.execute_activity(no_op, start_to_close_timeout=NO_OP_WITHIN)

    @workflow.update
    async def touch(self) -> None:
        await workflow.execute_local_activity(no_op, start_to_close_timeout=NO_OP_WITHIN)
        self._updates += 1


async def work() -> None:
    """Runs until stdin is closed, with the options of workers/queues.py's trade_worker."""
    client = await connect()
    async with Worker(
        client,
        task_queue=QUEUE,
        workflows=[BareWorkflow, ShapeWorkflow],
        activities=[no_op],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_cached_workflows=TEAMS_IN_MEMORY,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        max_workflow_task_external_storage_concurrency=1,
        workflow_task_executor=ThreadPoolExecutor(WORKFLOW_THREADS),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        graceful_shutdown_timeout=GRACE,
    ):
        tune_collector()
        print(READY, flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def call() -> None:
    client = await connect()

    async def play(name: str, stopwatch: Stopwatch) -> None:
        await play_bare(client, name, stopwatch)

    await serve({"bare": play})


async def play_bare(client: Client, name: str, stopwatch: Stopwatch) -> str:
    """Plays one workflow with the updates of a team; returns its id."""
    start = WithStartWorkflowOperation(BareWorkflow.run, **_options(f"bench-{name}"))
    return await _play(client, start, f"bench-{name}", UPDATES, stopwatch)


async def play_shape(client: Client, shape: Shape, name: str, stopwatch: Stopwatch) -> str:
    """Plays one workflow up to its last update; returns its id."""
    start = WithStartWorkflowOperation(ShapeWorkflow.run, shape, **_options(f"bench-{name}"))
    return await _play(client, start, f"bench-{name}", shape.updates, stopwatch)


def _options(workflow_id: str) -> Any:  # noqa: ANN401 - of a start
    """As the API starts a team's workflow."""
    return {
        "id": workflow_id,
        "task_queue": QUEUE,
        "id_conflict_policy": WorkflowIDConflictPolicy.USE_EXISTING,
        "id_reuse_policy": WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
    }


async def _play(
    client: Client, start: WithStartWorkflowOperation[Any, Any], workflow_id: str, updates: int, stopwatch: Stopwatch
) -> str:
    sent_at = time.perf_counter()
    await client.execute_update_with_start_workflow("touch", start_workflow_operation=start, id=f"{workflow_id}-1")
    stopwatch.record("update with start", sent_at)
    handle = client.get_workflow_handle(workflow_id)
    for number in range(2, updates + 1):
        sent_at = time.perf_counter()
        await handle.execute_update("touch", id=f"{workflow_id}-{number}")
        stopwatch.record("update", sent_at)
    return workflow_id


if __name__ == "__main__":
    uvloop.run({"worker": work, "callers": call}[sys.argv[1]]())
