"""A worker that dies at one point, in a process that is forked from a server which has imported everything.

A point is a step and a side of it, for example `db.refunds.steps.release_refund:after`: when the step has been committed, and
before anybody knows. The process kills itself there, as an operator's SIGKILL or the kernel's would.
"""

import asyncio
import functools
import importlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

from temporalio.client import Client, Interceptor, OutboundInterceptor, StartWorkflowInput, WorkflowHandle
from temporalio.worker import Worker

import workers.queues
from activities.callbacks.deliver import CallbackActivities
from db.core.connection import Database
from embedded.addresses import Addresses
from tests.forked import FORK_SERVER
from tests.workflows.play import callback_activities
from workflows import activity_calls, deliveries
from workflows.client import connect

SOON = timedelta(seconds=1)
DIES_WITHIN = 60
"""seconds: a worker that gets little CPU takes its time to reach the point"""


def die(side: str, step: Callable[..., Awaitable[Any]], occurrence: int) -> Callable[..., Awaitable[Any]]:
    """The step, with the end of this process before or after its n-th call."""
    calls = 0

    @functools.wraps(step)
    async def last_step(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        nonlocal calls
        calls += 1
        if calls == occurrence and side == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = await step(*arguments, **named)
        if calls == occurrence:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    return last_step


class ShortTasks(Interceptor):
    """Workflows that its client starts have workflow tasks that time out soon: also the first one may die with it."""

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002 - the SDK's name
        return _ShortTasksOutbound(next)


class _ShortTasksOutbound(OutboundInterceptor):
    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:  # noqa: A002 - the SDK's name
        input.task_timeout = SOON
        return await super().start_workflow(input)


@asynccontextmanager
async def crashing(addresses: Addresses, point: str, queue: str, namespace: str = "default") -> AsyncIterator[None]:
    """Runs a worker that dies at this point; at the end of the block it has died."""
    ready, ready_in_child = FORK_SERVER.Pipe(duplex=False)
    process = FORK_SERVER.Process(target=run, args=(addresses, point, queue, namespace, ready_in_child), daemon=True)
    with ready:
        process.start()
        ready_in_child.close()
        try:
            await asyncio.to_thread(ready.recv)
            yield
            await asyncio.to_thread(process.join, DIES_WITHIN)
            assert process.exitcode == -signal.SIGKILL, process.exitcode
        finally:
            process.kill()
            await asyncio.to_thread(process.join)
            process.close()


def run(addresses: Addresses, point: str, queue: str, namespace: str, ready: Connection) -> None:
    os.environ |= {"TEMPORAL_ADDRESS": addresses.temporal_address, "TEMPORAL_NAMESPACE": namespace}
    asyncio.run(_run(addresses.database_url, point, queue, ready))


async def _run(database_url: str, point: str, queue: str, ready: Connection) -> None:
    # What a dead worker had in hand is missed soon.
    deliveries.DELIVERY = activity_calls.BATCH = activity_calls.TRANSACTION = SOON
    setattr(workers.queues, "Worker", functools.partial(Worker, sticky_queue_schedule_to_start_timeout=SOON))  # noqa: B010 - a class, to mypy
    path, side, *nth = point.split(":")
    owner_path, _, name = path.rpartition(".")
    owner: Any = CallbackActivities if owner_path == "mall" else importlib.import_module(owner_path)
    name = {"send": "_send"}.get(name, name)
    setattr(owner, name, die(side, getattr(owner, name), int(nth[0]) if nth else 1))
    database = Database(database_url, size=4)
    config = (await connect()).config()
    config["interceptors"] = [ShortTasks()]
    client = Client(**config)
    process = workers.queues.Process(client, database)
    async with callback_activities(database) as callbacks, workers.queues.all_workers(process, callbacks, queue):
        ready.send("ready")
        await asyncio.Event().wait()
