"""A worker that dies at one point: `python -m tests.workflows.crashing_worker <point> <queue>`.

A point is a step and a side of it, for example `db.refunds.steps.release_refund:after`: when the step has been committed, and
before anybody knows. The process kills itself there, as an operator's SIGKILL or the kernel's would.
"""

import asyncio
import functools
import importlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from temporalio.worker import Worker

import worker
from activities.callbacks.deliver import CallbackActivities
from db.core.connection import Database
from tests.workflows.play import callback_activities
from workflows import activity_calls, deliveries
from workflows.client import connect

SOON = timedelta(seconds=1)


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


async def main(point: str, queue: str) -> None:
    # What a dead worker had in hand is missed soon.
    deliveries.DELIVERY = activity_calls.BATCH = SOON
    setattr(worker, "Worker", functools.partial(Worker, sticky_queue_schedule_to_start_timeout=SOON))  # noqa: B010 - a class, to mypy
    path, side, *nth = point.split(":")
    owner_path, _, name = path.rpartition(".")
    owner: Any = CallbackActivities if owner_path == "mall" else importlib.import_module(owner_path)
    name = {"send": "_send"}.get(name, name)
    setattr(owner, name, die(side, getattr(owner, name), int(nth[0]) if nth else 1))
    database = Database(os.environ["GROUPBUY_DATABASE_URL"], size=4)
    client = await connect()
    async with callback_activities(database) as callbacks, worker.all_workers(client, database, callbacks, queue):
        print("ready", flush=True)  # noqa: T201 - the test waits for it
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
